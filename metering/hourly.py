"""Hourly sums of apps for detectors: what each brought in every hour, the sandbox apart."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q, QuerySet, Sum

from marketplace.catalog.models import Environment
from metering.anomalies import HOUR, Series, series_of
from metering.cause_split import Used
from metering.models import UsageRollup

ZERO = Decimal(0)


@dataclass(frozen=True)
class AppHours:
    """What one app brought in one currency, hour by hour."""

    app_id: int
    currency: str
    cost: Series
    requests: Series


@dataclass(frozen=True)
class Paid:
    """What a team used and a cost center of an organization paid."""

    organization_id: int
    cost_center_id: int
    team_id: int
    cost: Decimal


def hourly(*, ends_at: datetime, hours: int, app_ids: Collection[int] | None = None) -> list[AppHours]:
    """Return the hours up to ``ends_at`` of every app that was used in them, or of some, by app (one query)."""
    found = _rollups(ends_at - hours * HOUR, ends_at)
    if app_ids is not None:
        found = found.filter(attribution__app__in=app_ids)
    rows = found.values_list("attribution__app", "currency", "hour").annotate(Sum("cost"), Sum("requests"))
    costs: dict[tuple[int, str], list[tuple[datetime, Decimal]]] = defaultdict(list)
    requests: dict[tuple[int, str], list[tuple[datetime, Decimal]]] = defaultdict(list)
    for app_id, currency, hour, cost, count in rows.order_by():
        costs[app_id, currency].append((hour, cost))
        requests[app_id, currency].append((hour, Decimal(count)))
    return [
        AppHours(
            app_id,
            currency,
            series_of(costs[app_id, currency], ends_at=ends_at, hours=hours),
            series_of(requests[app_id, currency], ends_at=ends_at, hours=hours),
        )
        for app_id, currency in sorted(costs)
    ]


def by_model(app_id: int, *, currency: str, from_at: datetime, to_at: datetime) -> dict[str, Used]:
    """Return what an app used of each model (one query)."""
    rows = (
        _rollups(from_at, to_at)
        .filter(attribution__app=app_id, currency=currency)
        .values_list("attribution__model__name")
        .annotate(Sum("requests"), Sum("cost"), tokens=Sum(F("input_tokens") + F("output_tokens")))
        .order_by()
    )
    return {
        model or "": Used(Decimal(requests), Decimal(tokens or requests), cost)
        for model, requests, cost, tokens in rows
    }


def cost(where: Q, *, currency: str, from_at: datetime, to_at: datetime) -> Decimal:
    """Sum the cost of what a condition on roll-ups finds (one query)."""
    found = _rollups(from_at, to_at).filter(where, currency=currency)
    return found.aggregate(cost=Sum("cost"))["cost"] or ZERO


def payers(app_id: int, *, currency: str, from_at: datetime, to_at: datetime) -> list[Paid]:
    """Return who paid how much of an app (one query)."""
    found = _rollups(from_at, to_at).filter(attribution__app=app_id, currency=currency)
    rows = found.values_list(
        "attribution__organization", "attribution__cost_center", "attribution__team"
    ).annotate(Sum("cost"))
    return [Paid(*row) for row in rows.order_by()]


def _rollups(from_at: datetime, to_at: datetime) -> "QuerySet[UsageRollup]":
    found = UsageRollup.objects.filter(hour__gte=from_at, hour__lt=to_at)
    return found.exclude(attribution__environment=Environment.SANDBOX)
