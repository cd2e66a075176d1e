"""Whether the platform can live with an app: what each of its plans brings at the calls its maker expects. Pure.

Prices are those of a worked bill, so they are what an invoice would say; the creator's part is that of the agreement
in force, or of the house.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing import free_plans
from billing.estimates import WorkedBill, worked_bills
from billing.pricing import parse_charges
from billing.revenue_share import split
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.catalog.judging import shown
from marketplace.catalog.projections import Interval, PlanOutlook, Projection
from marketplace.catalog.scans.findings import Found
from marketplace.core.money import MAX_DECIMALS, exact

ZERO = Decimal(0)
# Where the sign of a margin is looked for before it is narrowed down: a price has few bends, at free calls and tiers.
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class SoldPlan:
    """A plan as it is priced. The proposed one decides; others were approved before and only warn."""

    code: str
    name: str
    charges: Sequence[dict[str, object]]
    monthly_calls_limit: int
    is_proposed: bool = True


def project(
    plans: Sequence[SoldPlan],
    *,
    monthly_calls: int,
    cost_per_call: Interval,
    terms: ShareTerms,
    currency: str,
    is_agreed: bool = False,
) -> Projection:
    """Project a month of the expected calls on the proposed plan, which comes first, and on each of the others.

    Cost 0.01, markup 0.30, share 0.20, 1,000 calls: cost 10, price 13, creator 2.40, platform margin 0.60; on a
    gross agreement the platform would break even at 10 / 13 = 76.9 %. Raises InvalidInput for a plan that cannot be
    priced.
    """
    outlooks = tuple(_outlook(plan, monthly_calls, cost_per_call, terms, currency) for plan in plans)
    first = outlooks[0]
    gross = split(
        first.price,
        platform_cost=first.cost,
        share=terms.share,
        basis="gross",
        currency=currency,
        fees=terms.fees,
    )
    return Projection(
        currency=currency,
        monthly_calls=monthly_calls,
        cost_per_call=cost_per_call,
        cost=cost_per_call.times(monthly_calls),
        price=first.price,
        share=terms.share,
        creator_amount=first.creator_amount,
        margin=first.margin,
        margin_at_high_cost=first.margin_at_high_cost,
        break_even_share=gross.break_even_share,
        basis=terms.basis,
        is_agreed=is_agreed,
        plans=outlooks,
    )


def judge(projection: Projection, *, thresholds: Thresholds) -> tuple[Found, ...]:
    """Return what stands against each plan; a plan that is not proposed now was approved before and only warns."""
    found = (
        free_plans.judge(plan, projection, thresholds)
        if plan.is_free
        else _judge(plan, projection, thresholds)
        for plan in projection.plans
    )
    return tuple(one for one in found if one is not None)


def in_words(plan: PlanOutlook, currency: str) -> str:
    """Say in figures what a month on a plan that is paid for comes to."""
    calls = f"{plan.name}: {plan.calls:,} calls a month cost {shown(plan.cost, currency)} and bring {shown(plan.price, currency)}"
    share = f"the creator gets {shown(plan.creator_amount, currency)}"
    kept = f"the platform {'keeps' if plan.margin >= 0 else 'loses'} {shown(abs(plan.margin), currency)}"
    covered = "" if plan.covered is None else f", {plan.covered * 100:.0f} % of the cost is covered"
    return f"{calls}; {share}, {kept}{covered}. {_break_even_in_words(plan)}"


def _break_even_in_words(plan: PlanOutlook) -> str:
    if plan.from_calls is None:
        return "It loses money at any number of calls."
    if plan.until_calls is not None:
        since = f"from {plan.from_calls:,} " if plan.from_calls > 1 else ""
        return f"It breaks even {since}up to {plan.until_calls:,} calls a month."
    if plan.from_calls > 1:
        return f"It breaks even from {plan.from_calls:,} calls a month on."
    return "It pays from the first call on."


def _judge(plan: PlanOutlook, projection: Projection, thresholds: Thresholds) -> Found | None:
    words, place = in_words(plan, projection.currency), f"plan {plan.code}"
    with exact():
        floor, wanted = plan.price * thresholds.fail_below, plan.price * thresholds.warn_below
    if plan.margin < floor:
        rule, severity = ("margin.negative", "high") if plan.is_proposed else ("margin.other-plan", "medium")
        least = f" At least {_percent(thresholds.fail_below)} of the price has to be left." if floor else ""
        return Found(rule, severity, place, words + least)
    if plan.margin < wanted:
        return Found(
            "margin.thin",
            "medium",
            place,
            f"{words} Less than {_percent(thresholds.warn_below)} of the price is left.",
        )
    if plan.margin_at_high_cost < 0:
        loss = shown(-plan.margin_at_high_cost, projection.currency)
        return Found(
            "margin.thin", "medium", place, f"{words} At the upper end of the measured cost it loses {loss}."
        )
    return None


def _percent(part: Decimal) -> str:
    return f"{(part * 100).normalize():f} %"


def _outlook(plan: SoldPlan, expected: int, cost: Interval, terms: ShareTerms, currency: str) -> PlanOutlook:
    charges = parse_charges(list(plan.charges)) if plan.charges else ()

    def bill(calls: int, cost_per_call: Decimal) -> WorkedBill:
        [one] = worked_bills(
            charges, cost_per_call=cost_per_call, terms=terms, currency=currency, calls=[calls]
        )
        return one

    # What a subscription may not call, nobody pays for on this plan.
    most = plan.monthly_calls_limit
    calls = min(expected, most)
    month = bill(calls, cost.mean)
    from_calls, until_calls = break_even(
        lambda count: bill(count, cost.mean).split.platform_margin, near=calls, most=most
    )
    return PlanOutlook(
        code=plan.code,
        name=plan.name,
        is_proposed=plan.is_proposed,
        calls=calls,
        price=month.split.price,
        cost=month.platform_cost,
        creator_amount=month.split.creator,
        margin=month.split.platform_margin,
        margin_at_high_cost=bill(calls, cost.high).split.platform_margin,
        covered=_covered(month),
        from_calls=from_calls,
        until_calls=until_calls,
        is_free=not bill(most, cost.high).split.price,
        most_calls=most,
        most_cost=cost.times(most).high,
    )


def _covered(bill: WorkedBill) -> Decimal | None:
    """Give the platform's part over its cost, cut at 18 decimals."""
    if not bill.platform_cost:
        return None
    with exact():
        return (bill.split.platform / bill.platform_cost).quantize(Decimal(1).scaleb(-MAX_DECIMALS))


def break_even(margin_of: Callable[[int], Decimal], *, near: int, most: int) -> tuple[int | None, int | None]:
    """Find the stretch of calls, 1 to ``most``, that loses nothing: the one around ``near``, else the closest.

    Returns its first number of calls and its last; the last is None when it does not end before ``most``, both are
    None when there is no such stretch. Between two neighbors on the way up (1, 2, 5, 10 ...) the sign is taken to turn once.
    """
    points = _points(near, most)
    good = [margin_of(point) >= 0 for point in points]
    here = bisect_left(points, min(near, most))
    found = [index for index, is_good in enumerate(good) if is_good]
    if not found:
        return None, None
    first = last = min(found, key=lambda index: (abs(index - here), index))
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(points) and good[last + 1]:
        last += 1
    lowest = _turn(margin_of, points[first - 1], points[first]) if first else points[0]
    if last + 1 == len(points):
        return lowest, None
    return lowest, _turn(margin_of, points[last + 1], points[last])


def _points(near: int, most: int) -> list[int]:
    powers = range(len(str(most)))
    points = {step * 10**power for power in powers for step in STEPS}
    return sorted({point for point in points if point < most} | {min(near, most), most})


def _turn(margin_of: Callable[[int], Decimal], bad: int, good: int) -> int:
    """Narrow down where a loss ends; returns the number of calls next to it that loses nothing."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        if margin_of(middle) >= 0:
            good = middle
        else:
            bad = middle
    return good
