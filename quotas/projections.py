"""What granting a limit is expected to cost a month, from the owner's own use, and what it leaves of the budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from marketplace.accounts.models import Organization
from marketplace.catalog.models import Environment
from marketplace.core.money import exact, to_text
from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from metering.usage_reports import UsageReport
from quotas.demand import (
    DAYS_OF_HISTORY,
    TOO_NEW,
    ZERO,
    Band,
    Demand,
    bounds,
    demand,
    percentile,
    rough,
    unit_price,
)
from quotas.lifts import with_values
from quotas.models import Limit
from quotas.owners import Owner

DAYS_SHOWN = 30


@dataclass(frozen=True)
class Day:
    """What a full day came to."""

    date: date
    amount: Decimal
    cost: Decimal


@dataclass(frozen=True)
class BudgetLeft:
    """What a month of thirty days leaves of the tightest monthly cost limit of the cost center; may be negative.

    ``now`` is what the cost center costs a month at the pace of its last 28 days, before anything is granted.
    """

    label: str
    budget: Decimal
    currency: str
    is_hard: bool
    now: Decimal
    after: Band


@dataclass(frozen=True)
class Projection:
    """A month of thirty days under a granted limit. ``cost`` and ``amount`` are None where nothing tells them.

    ``most_cost`` is what the limit used in full every time would cost; ``days`` are the last 30 full days, of which
    ``p95`` and ``peak`` tell the busy ones, in the unit of the measure (calls for concurrency).
    """

    measure: str
    window: str
    granted: Decimal
    present: Decimal | None
    currency: str
    method: str
    growth: Decimal | None
    price: Band | None
    amount: Band | None
    cost: Band | None
    most_cost: Decimal | None
    now_cost: Decimal
    days: tuple[Day, ...]
    p95: Decimal
    peak: Decimal
    budget: BudgetLeft | None = None

    @property
    def low(self) -> Decimal | None:
        return self.cost.low if self.cost else None

    @property
    def expected(self) -> Decimal | None:
        return self.cost.expected if self.cost else None

    @property
    def high(self) -> Decimal | None:
        return self.cost.high if self.cost else None

    @property
    def budget_left_after(self) -> Decimal | None:
        """What the expected cost leaves of the budget."""
        return self.budget.after.expected if self.budget else None

    def as_json(self) -> dict[str, Any]:
        """Write down what a decision keeps: everything but the single days."""
        return {
            "low": _text(self.low),
            "expected": _text(self.expected),
            "high": _text(self.high),
            "budget_left_after": _text(self.budget_left_after),
            "measure": self.measure,
            "window": self.window,
            "granted": to_text(self.granted),
            "present": _text(self.present),
            "currency": self.currency,
            "method": self.method,
            "growth": _text(self.growth),
            "price": _band(self.price),
            "amount": _band(self.amount),
            "cost": _band(self.cost),
            "most_cost": _text(self.most_cost),
            "now_cost": to_text(self.now_cost),
            "p95": to_text(self.p95),
            "peak": to_text(self.peak),
            "budget": self.budget
            and {
                "label": self.budget.label,
                "budget": to_text(self.budget.budget),
                "currency": self.budget.currency,
                "is_hard": self.budget.is_hard,
                "now": to_text(self.budget.now),
                "after": _band(self.budget.after),
            },
        }


def project(owner: Owner, *, measure: str, window: str, granted: Decimal, at: datetime) -> Projection:
    """Project what a month costs under a granted limit (six queries at most).

    The owner's use of the last 28 full days in UTC says how much (``quotas.demand``) and what a unit cost; without a week of
    it, the limit used in full at what such calls cost others, if that is known.
    """
    days, latency_ms, currency = history(owner, measure=measure, at=at)
    own, budget_limit = _limits(owner, measure=measure, window=window, at=at)
    projection = of_history(
        days,
        measure=measure,
        window=window,
        granted=granted,
        present=own.value_now if own else None,
        latency_ms=latency_ms,
        currency=currency,
    )
    if projection.price is None:
        projection = _at_price_of_others(projection, owner, latency_ms=latency_ms, at=at)
    if budget_limit is None:
        return projection
    is_budget_itself = own is not None and own.pk == budget_limit.pk
    left = _budget_left(projection, budget_limit, is_budget_itself=is_budget_itself, at=at)
    return replace(projection, budget=left)


def of_history(
    days: Sequence[Day],
    *,
    measure: str,
    window: str,
    granted: Decimal,
    present: Decimal | None,
    latency_ms: int | None,
    currency: str,
) -> Projection:
    """Project from days that are known. Pure."""
    recent = days[-DAYS_OF_HISTORY:]
    amounts, costs = [day.amount for day in recent], [day.cost for day in recent]
    lets_through = bounds(measure=measure, window=window, value=granted, latency_ms=latency_ms)
    is_seen = measure != Limit.Measure.CONCURRENCY and window != Limit.Window.MINUTE
    found = demand(
        amounts,
        window=window,
        present=present if is_seen else None,
        granted=granted,
        lets_through=lets_through,
    )
    price = unit_price(amounts, costs)
    shown = [day.amount for day in days]
    return Projection(
        measure=measure,
        window=window,
        granted=granted,
        present=present,
        currency=currency,
        method=found.method if found else TOO_NEW,
        growth=found.growth if found else None,
        price=price,
        amount=found.amount if found else None,
        cost=_cost(found, price),
        most_cost=_most(price, lets_through.month),
        now_cost=_a_month(costs),
        days=tuple(days),
        p95=percentile(shown, 95),
        peak=max(shown, default=ZERO),
    )


def history(owner: Owner, *, measure: str, at: datetime) -> tuple[tuple[Day, ...], int | None, str]:
    """Return the owner's last 30 full days from their first use on, the mean latency, and the currency (two queries).

    Of concurrency the days count calls: how many there were at a time is not kept.
    """
    report = _daily({owner.kind: owner.qualified_id}, owner, at=at)
    rows = report.over_time
    first = next((number for number, row in enumerate(rows) if row.measures.requests), len(rows))
    name = "requests" if measure == Limit.Measure.CONCURRENCY else measure
    days = tuple(
        Day(row.starts_at.date(), Decimal(getattr(row.measures, name)), row.measures.cost)
        for row in rows[first:]
    )
    return days, report.totals.mean_latency_ms, report.currency


def _daily(filters: dict[str, str], owner: Owner | None, *, at: datetime) -> UsageReport:
    """Ask for full days. Of several currencies, that of the organization counts."""
    to_at = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked: dict[str, Any] = {
        "from_at": to_at - timedelta(days=DAYS_SHOWN),
        "to_at": to_at,
        "granularity": "day",
        "visible": EVERYTHING,
    }
    environments = [one for one in Environment.values if one != Environment.SANDBOX]
    wanted: dict[str, Any] = {**filters, "environment": environments}
    if owner is not None and owner.environment:
        wanted["environment"] = owner.environment
    try:
        return usage(**asked, filters=wanted)
    except MixedCurrencies as error:
        home = None
        if owner is not None:
            home = Organization.objects.values_list("currency", flat=True).get(pk=owner.organization_id)
        currency = home if home in error.currencies else error.currencies[0]
        return usage(**asked, filters={**wanted, "currency": currency})


def _limits(owner: Owner, *, measure: str, window: str, at: datetime) -> tuple[Any, Any]:
    """Return the owner's tightest limit of this kind, and the tightest monthly cost limit of their cost center (one query)."""
    center_id = dict(owner.chain).get("cost_center")
    own = Q(**{f"{owner.kind}_id": owner.pk}, environment=owner.environment, measure=measure, window=window)
    of_center = Q(cost_center_id=center_id, measure="cost", window="month", environment="")
    has_budget = center_id is not None and not owner.environment
    found = Limit.objects.filter(own | of_center if has_budget else own, starts_at__lte=at).exclude(
        ends_at__lte=at
    )
    lifted = with_values(found, at=at).select_related("cost_center__organization")
    limits = list(lifted.order_by("value_now", "pk"))
    is_own = [limit for limit in limits if limit.owner_id == owner.pk and limit.owner_kind == owner.kind]
    return (
        _tightest([limit for limit in is_own if (limit.measure, limit.window) == (measure, window)]),
        _tightest([limit for limit in limits if has_budget and limit.cost_center_id == center_id]),
    )


def _tightest(limits: Sequence[Limit]) -> Any:
    """Pick the least of the hard ones, else the least."""
    hard = [limit for limit in limits if limit.mode == Limit.Mode.HARD]
    return next(iter(hard or limits), None)


def _budget_left(
    projection: Projection, limit: Limit, *, is_budget_itself: bool, at: datetime
) -> BudgetLeft | None:
    center = limit.cost_center
    if center is None:
        return None
    filters = {"cost_center": f"{center.organization.slug}/{center.code}", "currency": limit.currency}
    report = _daily(filters, None, at=at)
    costs = [row.measures.cost for row in report.over_time][-DAYS_OF_HISTORY:]
    return left_of_budget(
        projection, limit=limit, label=str(center), now=_a_month(costs), is_budget_itself=is_budget_itself
    )


def left_of_budget(
    projection: Projection, *, limit: Limit, label: str, now: Decimal, is_budget_itself: bool = False
) -> BudgetLeft | None:
    """Say what a month leaves: the budget, less what the center costs now, less what is added. None in another currency.

    ``is_budget_itself``: the granted limit takes the place of this one.
    """
    if projection.cost is None or (projection.currency or limit.currency) != limit.currency:
        return None
    with exact():
        budget = projection.granted if is_budget_itself else getattr(limit, "value_now", limit.limit_value)
        rest = budget - now + projection.now_cost
        cost = projection.cost
        after = Band(rest - cost.low, rest - cost.expected, rest - cost.high)
    return BudgetLeft(label, budget, limit.currency, limit.mode == Limit.Mode.HARD, now, after)


def _at_price_of_others(
    projection: Projection, owner: Owner, *, latency_ms: int | None, at: datetime
) -> Projection:
    """Take what the app's calls cost everybody; a limit of cost is its own price."""
    app = owner.app or (owner.subscription.app if owner.subscription else None)
    price, currency = None, projection.currency
    if projection.measure == Limit.Measure.COST:
        price = Band(Decimal(1), Decimal(1), Decimal(1))
    elif app is not None:
        report = _daily({"app": app.slug}, owner, at=at)
        price, currency = _mean_price(report, projection.measure), report.currency
        latency_ms = report.totals.mean_latency_ms
    most = _most(
        price,
        bounds(
            measure=projection.measure,
            window=projection.window,
            value=projection.granted,
            latency_ms=latency_ms,
        ).month,
    )
    cost = Band(ZERO, most, most) if most is not None else None
    return replace(projection, price=price, currency=currency, cost=cost, most_cost=most)


def _mean_price(report: UsageReport, measure: str) -> Band | None:
    name = "requests" if measure == Limit.Measure.CONCURRENCY else measure
    used = Decimal(getattr(report.totals, name))
    if not used:
        return None
    mean = report.totals.cost / used
    return Band(mean, mean, mean)


def _cost(found: Demand | None, price: Band | None) -> Band | None:
    return found.amount.times(price).rough() if found and price else None


def _most(price: Band | None, month: Decimal | None) -> Decimal | None:
    if price is None or month is None:
        return None
    with exact():
        return rough(month * price.high)


def _a_month(costs: Sequence[Decimal]) -> Decimal:
    """Scale days to a month of thirty."""
    return rough(sum(costs, ZERO) * 30 / len(costs)) if costs else ZERO


def _text(value: Decimal | None) -> str | None:
    return None if value is None else to_text(value)


def _band(band: Band | None) -> dict[str, str] | None:
    if band is None:
        return None
    return {"low": to_text(band.low), "expected": to_text(band.expected), "high": to_text(band.high)}


def from_json(kept: dict[str, Any]) -> Projection | None:
    """Read what a decision kept; None where it kept nothing."""
    if not kept:
        return None
    amounts = ("granted", "present", "growth", "most_cost", "now_cost", "p95", "peak")
    budget = kept["budget"]
    return Projection(
        **{name: kept[name] for name in ("measure", "window", "currency", "method")},
        **{name: _decimal(kept[name]) for name in amounts},
        **{name: _read_band(kept[name]) for name in ("price", "amount", "cost")},
        days=(),
        budget=budget
        and BudgetLeft(
            budget["label"],
            Decimal(budget["budget"]),
            budget["currency"],
            budget["is_hard"],
            Decimal(budget["now"]),
            Band(**{name: Decimal(value) for name, value in budget["after"].items()}),
        ),
    )


def _decimal(text: str | None) -> Any:
    return None if text is None else Decimal(text)


def _read_band(kept: dict[str, str] | None) -> Any:
    return None if kept is None else Band(**{name: Decimal(value) for name, value in kept.items()})
