"""Usage as metering leaves it, written straight into its tables: an event with its roll-up."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.db.models import F

from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog.models import App, Plan, Subscription
from metering.models import Attribution, DailyRollup, UsageEvent, UsageRollup

OCTOBER = datetime(2026, 10, 12, 9, tzinfo=UTC)
_numbers = count(1)


def use(
    subscription: Subscription,
    *,
    requests: int,
    cost: str,
    at: datetime = OCTOBER,
    period: date | None = None,
    plan: Plan | None = None,
    cost_center: CostCenter | None = None,
) -> None:
    """Let a subscription use its app; `cost` is the platform's, of all requests together."""
    team, center = subscription.team, cost_center or subscription.cost_center
    _record(
        subscription.app, team, center, subscription, plan or subscription.plan, requests, cost, at, period
    )


def use_own(
    app: App, *, requests: int, cost: str, at: datetime = OCTOBER, period: date | None = None
) -> None:
    """Let an app report usage that nobody subscribed to."""
    team = app.owner_team
    _record(app, team, team.cost_center, None, None, requests, cost, at, period)


def _record(
    app: App,
    team: Team,
    center: CostCenter,
    subscription: Subscription | None,
    plan: Plan | None,
    requests: int,
    cost: str,
    at: datetime,
    period: date | None,
) -> None:
    attribution, _ = Attribution.objects.get_or_create(
        app=app,
        owner_team=app.owner_team,
        organization=center.organization,
        team=team,
        cost_center=center,
        subscription=subscription,
        plan=plan,
        key=None,
        environment=subscription.environment if subscription else "production",
        model=None,
    )
    period = period or date(at.year, at.month, 1)
    UsageEvent.objects.create(
        app=app,
        event_id=f"event-{next(_numbers)}",
        occurred_at=at,
        received_at=at,
        period=period,
        attribution=attribution,
        requests=requests,
        cost=Decimal(cost),
        currency="USD",
    )
    hour = at.replace(minute=0, second=0, microsecond=0)
    rolled: tuple[tuple[type[UsageRollup | DailyRollup], dict[str, Any]], ...] = (
        (UsageRollup, {"hour": hour}),
        (DailyRollup, {"day": hour.date()}),
    )
    for model, of_time in rolled:
        of_key = {**of_time, "attribution": attribution, "period": period}
        if not model.objects.filter(**of_key).update(
            events=F("events") + 1, requests=F("requests") + requests, cost=F("cost") + Decimal(cost)
        ):
            model.objects.create(**of_key, events=1, requests=requests, cost=Decimal(cost), currency="USD")
