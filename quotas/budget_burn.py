"""Whether a runaway breaks a monthly budget: the evidence without which no app is paused at once."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from marketplace.core.money import exact
from marketplace.core.periods import window_bounds
from metering import anomalies, hourly
from metering.anomalies import Burn, Finding
from quotas.models import Limit
from quotas.owners import owner_of_limit

DAY, WEEK = timedelta(days=1), timedelta(days=7)
ZERO = Decimal(0)
PAYERS = ("organization", "cost_center", "team")


@dataclass(frozen=True)
class BudgetBurn:
    """A budget that the runaway breaks, and whose it is."""

    owner: str
    burn: Burn
    currency: str


def burnt_by(app_id: int, finding: Finding, *, currency: str, at: datetime) -> BudgetBurn | None:
    """Return the budget that breaks worst: of the app, or of a team, cost center or organization that pays for it.

    A budget is a limit of cost by the month, whether it refuses or only warns. Projected by the pace of the last seven
    days; a budget that would break without the runaway too is no evidence.
    """
    paid = _paid(app_id, currency=currency, at=at)
    found = [
        _burn(limit, paid[limit.owner_kind, limit.owner_id], finding, currency=currency, at=at)
        for limit in _budgets(app_id, paid, currency=currency, at=at)
    ]
    broken = [one for one in found if one.burn.is_evidence]
    return max(broken, key=lambda one: one.burn.projected / one.burn.budget, default=None)


def _paid(app_id: int, *, currency: str, at: datetime) -> dict[tuple[str, int], Decimal]:
    """Sum what each payer spent on the app in the last 24 hours."""
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    with exact():
        for paid in hourly.payers(app_id, currency=currency, from_at=at - DAY, to_at=at):
            for kind in PAYERS:
                sums[kind, getattr(paid, f"{kind}_id")] += paid.cost
            sums["app", app_id] += paid.cost
    return sums


def _budgets(
    app_id: int, paid: dict[tuple[str, int], Decimal], *, currency: str, at: datetime
) -> list[Limit]:
    owners = Q(app=app_id)
    for kind in PAYERS:
        owners |= Q(**{f"{kind}__in": [pk for one, pk in paid if one == kind]})
    running = Q(ends_at=None) | Q(ends_at__gt=at)
    found = Limit.objects.filter(
        owners, running, measure="cost", window="month", currency=currency, environment="",
        starts_at__lte=at, limit_value__gt=0,
    )  # fmt: skip
    return [one for one in found.order_by("pk") if (one.owner_kind, one.owner_id) in paid]


def _burn(limit: Limit, of_app: Decimal, finding: Finding, *, currency: str, at: datetime) -> BudgetBurn:
    kind = limit.owner_kind
    where = Q(**{f"attribution__{kind}": limit.owner_id})
    starts_at, ends_at = window_bounds(at - anomalies.HOUR, "month", limit.time_zone)
    with exact():
        part = of_app / finding.actual if finding.actual else ZERO
        excess = ((finding.actual - finding.expected) * part).quantize(Decimal(1).scaleb(-18))
    burn = anomalies.burn(
        budget=limit.limit_value,
        spent=hourly.cost(where, currency=currency, from_at=starts_at, to_at=at),
        last_week=hourly.cost(where, currency=currency, from_at=at - WEEK, to_at=at),
        excess=excess,
        at=at,
        ends_at=ends_at,
    )
    owner = owner_of_limit(limit)
    return BudgetBurn(f"{owner.title.lower()} {owner.label}", burn, currency)
