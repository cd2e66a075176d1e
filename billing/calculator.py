"""Plans side by side: worked bills, the curve of price against usage, where one becomes cheaper than another. Pure.

Everything is asked of the functions that bill a month, so a break-even point is the number of calls at which the bill,
in whole cents, really changes sides.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from itertools import combinations, pairwise
from typing import Any

from billing.estimates import WorkedBill, worked_bills
from billing.pricing import Charge, Usage, quote
from billing.pricing.included_credit import IncludedCredit
from billing.pricing.package import Package
from billing.pricing.tiers import TieredShape
from billing.terms import ShareTerms
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact, round_minor, to_text

MOST_PLANS = 4
MOST_CALLS = 10_000_000_000
CURVE_POINTS = 40
# Between two bends a price is a line, so its sign turns once; packages bend at each of theirs, of which so many are looked at.
MOST_PACKAGES = 200
MOST_SCANNED = 5_000
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class PlanToPrice:
    """A plan by name; its charges are those of the pricing calculator."""

    name: str
    charges: tuple[Charge, ...]


@dataclass(frozen=True)
class Conditions:
    """What a call costs the platform, and how much of each measure it uses, beside itself."""

    currency: str
    cost_per_call: Decimal
    share: ShareTerms
    per_call: Mapping[str, Decimal] = field(default_factory=dict)

    def rate(self, code: str) -> Decimal:
        """Give the quantity of a charge's measure in a call; raises InvalidInput when it is not known."""
        known = {"calls": Decimal(1), "cost": self.cost_per_call, **self.per_call}
        if code not in known:
            message = f"is missing: how much of {code!r} does a call use?"
            raise InvalidInput(f"per_call.{code}", message, code="required")
        return known[code]


@dataclass(frozen=True)
class Range:
    """A stretch of calls in which one plan is the cheaper one; None: both cost the same. No end: as far as was looked."""

    from_calls: int
    to_calls: int | None
    cheaper: str | None


@dataclass(frozen=True)
class Pair:
    """Two plans, and who is cheaper where. A break-even point is where a range begins."""

    first: str
    second: str
    ranges: tuple[Range, ...]

    @property
    def points(self) -> tuple[int, ...]:
        return tuple(one.from_calls for one in self.ranges[1:])


@dataclass(frozen=True)
class Compared:
    """Plans at the asked numbers of calls, along the curve, and in pairs."""

    plans: tuple[PlanToPrice, ...]
    bills: tuple[tuple[WorkedBill, ...], ...]
    curve_calls: tuple[int, ...]
    curve_minor: tuple[tuple[int, ...], ...]
    pairs: tuple[Pair, ...]


def compare(
    plans: Sequence[PlanToPrice], *, conditions: Conditions, calls: Sequence[int], most_calls: int
) -> Compared:
    """Price plans at numbers of calls, and look for break-even points from none up to `most_calls`.

    Raises InvalidInput when the use of a call is not known for a charge.
    """
    for plan in plans:
        for charge in plan.charges:
            if charge.shape.is_metered:
                conditions.rate(charge.code)
    curve = tuple(dict.fromkeys(most_calls * step // CURVE_POINTS for step in range(CURVE_POINTS + 1)))
    totals = [_total_of(plan, conditions) for plan in plans]
    bends = sorted({0, most_calls, *_steps(most_calls), *_bends(plans, conditions, most_calls)})
    return Compared(
        plans=tuple(plans),
        bills=tuple(tuple(_bills(plan, conditions, calls)) for plan in plans),
        curve_calls=curve,
        curve_minor=tuple(tuple(total(count) for count in curve) for total in totals),
        pairs=tuple(
            _pair(plans[one], plans[two], totals[one], totals[two], bends)
            for one, two in combinations(range(len(plans)), 2)
        ),
    )


def _pair(
    first: PlanToPrice,
    second: PlanToPrice,
    of_first: Callable[[int], int],
    of_second: Callable[[int], int],
    points: list[int],
) -> Pair:
    def difference(calls: int) -> int:
        return of_first(calls) - of_second(calls)

    names = (first.name, second.name)
    # Each line is off by half a minor unit at most.
    noise = len(first.charges) + len(second.charges)
    return Pair(*names, ranges_of(difference, points=points, names=names, noise=noise))


def ranges_of(
    difference: Callable[[int], int], *, points: Sequence[int], names: tuple[str, str], noise: int = 0
) -> tuple[Range, ...]:
    """Find where the sign of a difference turns; between two neighboring points it turns one way only.

    But for rounding: where the difference is no more than `noise`, every number of calls is looked at.
    """
    near = _within(difference, noise, [at for at, _ in _turns(difference, points)[1:]], most=points[-1])
    turns = _turns(difference, sorted({*points, *near}))
    cheaper = {-1: names[0], 0: None, 1: names[1]}
    ends = [start - 1 for start, _ in turns[1:]]
    return tuple(
        Range(start, end, cheaper[sign]) for (start, sign), end in zip(turns, [*ends, None], strict=True)
    )


def _turns(difference: Callable[[int], int], points: Sequence[int]) -> list[tuple[int, int]]:
    """List where the sign turns, and to which one; the first entry is where the search begins."""
    found = [(points[0], _sign(difference(points[0])))]
    for left, right in pairwise(points):
        at, sign, last = left, found[-1][1], _sign(difference(right))
        while sign != last:
            at = _first_other(difference, sign, at, right)
            sign = _sign(difference(at))
            found.append((at, sign))
    return found


def _within(difference: Callable[[int], int], noise: int, turns: Iterable[int], *, most: int) -> set[int]:
    """Collect the numbers around turns at which rounding could tip the balance."""
    found: set[int] = set()
    for turn in turns:
        for step in (-1, 1):
            at = turn
            while 0 <= at <= most and abs(difference(at)) <= noise and len(found) < MOST_SCANNED:
                found.add(at)
                at += step
    return found


def _first_other(difference: Callable[[int], int], sign: int, left: int, right: int) -> int:
    """Find the first number after `left` with another sign; `right` has one."""
    while right - left > 1:
        middle = (left + right) // 2
        if _sign(difference(middle)) == sign:
            left = middle
        else:
            right = middle
    return right


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def usage_of(charges: Iterable[Charge], calls: int, conditions: Conditions) -> dict[str, Usage]:
    """Give the usage of a number of calls, by charge."""
    with exact():
        return {
            charge.code: Usage.of(conditions.rate(charge.code) * calls)
            for charge in charges
            if charge.shape.is_metered
        }


def _total_of(plan: PlanToPrice, conditions: Conditions) -> Callable[[int], int]:
    known: dict[int, int] = {}

    def total(calls: int) -> int:
        if calls not in known:
            usage = usage_of(plan.charges, calls, conditions)
            known[calls] = quote(plan.charges, currency=conditions.currency, usage=usage).total_minor
        return known[calls]

    return total


def _bills(plan: PlanToPrice, conditions: Conditions, calls: Sequence[int]) -> list[WorkedBill]:
    return worked_bills(
        plan.charges,
        cost_per_call=conditions.cost_per_call,
        terms=conditions.share,
        currency=conditions.currency,
        calls=calls,
        per_call=conditions.per_call,
    )


def _steps(most: int) -> set[int]:
    return {step * 10**power for power in range(len(str(most))) for step in STEPS if step * 10**power < most}


def _bends(plans: Iterable[PlanToPrice], conditions: Conditions, most: int) -> set[int]:
    """Collect the numbers of calls at which a price bends or jumps, each with its neighbors."""
    found: set[int] = set()
    for plan in plans:
        for charge in plan.charges:
            if charge.shape.is_metered:
                found |= _bends_of_quantity(charge, conditions.rate(charge.code), most)
                found |= _bends_of_bounds(charge, conditions, most)
            elif isinstance(charge.shape, IncludedCredit):
                metered = [one for one in plan.charges if one.shape.is_metered]
                found |= _reached(metered, charge.shape.amount, conditions, most)
    return {near for one in found for near in (one - 1, one, one + 1) if 0 <= near <= most}


def _bends_of_quantity(charge: Charge, per_call: Decimal, most: int) -> set[int]:
    if not per_call:
        return set()
    with exact():
        quantities = {charge.free_units}
        if isinstance(charge.shape, TieredShape):
            quantities |= {
                charge.free_units + one.up_to for one in charge.shape.tiers if one.up_to is not None
            }
        if isinstance(charge.shape, Package):
            size = charge.shape.package_size
            quantities |= {charge.free_units + size * place for place in range(MOST_PACKAGES)}
        calls = {int((one / per_call).to_integral_value(ROUND_CEILING)) for one in quantities}
    return {one for one in calls if one <= most}


def _bends_of_bounds(charge: Charge, conditions: Conditions, most: int) -> set[int]:
    bare = replace(charge, minimum=None, maximum=None)
    bounds = [one for one in (charge.minimum, charge.maximum) if one is not None]
    return {one for bound in bounds for one in _reached([bare], bound, conditions, most)}


def _reached(charges: Sequence[Charge], amount: Decimal, conditions: Conditions, most: int) -> set[int]:
    """Find the first number of calls that costs so much; nothing when none does."""
    total = _total_of(PlanToPrice("", tuple(charges)), conditions)
    bound = round_minor(amount, conditions.currency)
    low, high = 0, most
    if total(low) >= bound or total(high) < bound:
        return set()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle) < bound else (low, middle)
    return {high}


def as_json(compared: Compared, *, currency: str) -> dict[str, Any]:
    """Write what was compared, as the API answers it."""
    return {
        "currency": currency,
        "plans": [
            {"name": plan.name, "bills": [_bill_json(bill) for bill in bills]}
            for plan, bills in zip(compared.plans, compared.bills, strict=True)
        ],
        "curve": [
            {"calls": calls, "total_minor": [of_plan[place] for of_plan in compared.curve_minor]}
            for place, calls in enumerate(compared.curve_calls)
        ],
        "break_even": [
            {
                "plans": [pair.first, pair.second],
                "points": list(pair.points),
                "ranges": [
                    {"from_calls": one.from_calls, "to_calls": one.to_calls, "cheaper": one.cheaper}
                    for one in pair.ranges
                ],
            }
            for pair in compared.pairs
        ],
    }


def _bill_json(bill: WorkedBill) -> dict[str, Any]:
    return {
        "calls": bill.calls,
        "total_minor": bill.total_minor,
        "lines": [line.as_json() for line in bill.lines],
        "platform_cost": to_text(bill.platform_cost),
        **{name: value for name, value in bill.split.as_json().items() if name != "currency"},
    }
