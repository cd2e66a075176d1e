"""What is known of incidents: who sees which, how long people take, what an app brought hour by hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Case, Count, F, Max, Q, QuerySet, Value, When

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.catalog.models import App, Environment, Subscription
from metering import anomalies, hourly, queries
from metering.anomalies import DAY_HOURS, HOUR, MOST_HOURS, Expected, Series
from metering.scopes import UsageScope
from metering.usage_reports import UsageRow
from quotas.incident_models import DetectorRun, Incident
from quotas.models import Limit

State = Incident.State
WORKED_DAYS = 90
CHART_HOURS = 72
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Times:
    """How long it took to look after incidents and to let apps run again or close; None without any."""

    count: int
    acknowledged_s: int | None
    resolved_s: int | None


@dataclass(frozen=True)
class Hours:
    """What an app brought in each of some hours, and what those hours usually bring."""

    starts_at: tuple[datetime, ...]
    actual: tuple[Decimal, ...]
    expected: tuple[Expected, ...]


def is_paused(subscription: Subscription) -> bool:
    """Tell whether an incident has stopped the app for this subscription (one query); never for a sandbox.

    A sandbox is bounded by its credit, and the makers need it to find out what happened.
    """
    if subscription.environment == Environment.SANDBOX:
        return False
    return Incident.objects.filter(app=subscription.app_id, state=State.PAUSED).exists()


def visible(actor: Actor) -> QuerySet[Incident]:
    """Incidents of apps whose usage is the person's to answer for, or all for the platform's own roles."""
    found = Incident.objects.select_related("app__owner_team__organization", "acknowledged_by")
    if actor.is_platform(*PLATFORM_ROLES):
        return found
    return found.filter(
        Q(app__owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(app__owner_team__organization__in=actor.organizations_as(Role.FINANCE, Role.OPERATOR))
    )


def apps_of_interest(actor: Actor) -> QuerySet[App]:
    """Apps of which somebody may know how they stand: what they make, what their teams call, all for the platform."""
    apps = App.objects.select_related("owner_team__organization")
    if actor.is_platform(*PLATFORM_ROLES):
        return apps
    called = Subscription.objects.filter(team__in=actor.team_ids, state=Subscription.State.ACTIVE)
    served = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    return apps.filter(
        Q(owner_team__in=actor.team_ids)
        | Q(owner_team__organization__in=served)
        | Q(pk__in=called.values("app"))
    )


def open_first(found: QuerySet[Incident]) -> QuerySet[Incident]:
    """Order incidents: those that wait for somebody first, then the newest."""
    is_closed = Case(When(state=State.CLOSED, then=Value(1)), default=Value(0))
    return found.order_by(is_closed, F("acknowledged_at").asc(nulls_first=True), "-opened_at", "pk")


def running(app: App) -> Incident | None:
    """Return the open incident of an app."""
    found = Incident.objects.filter(~Q(state=State.CLOSED), app=app)
    return found.select_related("app__owner_team__organization").first()


def earlier(incident: Incident) -> list[Incident]:
    """Return other incidents of the same app, the newest first."""
    found = Incident.objects.filter(app=incident.app_id).exclude(pk=incident.pk)
    return list(found.select_related("closed_by").order_by("-opened_at")[:10])


def limits_now(incident: Incident, *, at: datetime) -> list[Limit]:
    """Return what the incident does to calls now: the reduced rate, or the ceiling."""
    found = Limit.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), of_incident__incident=incident)
    return list(found.order_by("pk"))


def counts(found: QuerySet[Incident]) -> dict[str, int]:
    """Count incidents by state."""
    rows = found.order_by().values_list("state").annotate(Count("pk"))
    return dict(rows)


def times(found: QuerySet[Incident], *, at: datetime) -> Times:
    """Return the mean times to acknowledge and to resolve, over incidents of the last ninety days.

    Resolved is what runs again: it was resumed, or closed without having been stopped.
    """
    rows = found.filter(opened_at__gte=at - WORKED_DAYS * DAY)
    values = list(rows.values_list("opened_at", "acknowledged_at", "resumed_at", "closed_at"))
    acknowledged = [seen - opened for opened, seen, _, _ in values if seen]
    resolved = [
        min(filter(None, (resumed, closed))) - opened
        for opened, _, resumed, closed in values
        if resumed or closed
    ]
    return Times(len(values), _mean_s(acknowledged), _mean_s(resolved))


def last_judged() -> datetime | None:
    """Return when the detector ran last."""
    newest: datetime | None = DetectorRun.objects.aggregate(newest=Max("ran_at"))["newest"]
    return newest


def hours_of(incident: Incident, *, at: datetime) -> Hours:
    """Return the last three days of the incident hour by hour: of cost, or of requests."""
    ends_at = min(at, incident.last_seen_at + DAY).replace(minute=0, second=0, microsecond=0)
    series = _series(incident, ends_at=ends_at)
    starts = tuple(ends_at - (CHART_HOURS - number) * HOUR for number in range(CHART_HOURS))
    actual = tuple(series.window(CHART_HOURS - 1 - number, 1) or Decimal(0) for number in range(CHART_HOURS))
    return Hours(starts, actual, tuple(anomalies.expected_hours(series, count=CHART_HOURS)))


def _series(incident: Incident, *, ends_at: datetime) -> Series:
    found = hourly.hourly(ends_at=ends_at, hours=MOST_HOURS + CHART_HOURS, app_ids=[incident.app_id])
    of_cost = incident.kind == Incident.Kind.COST
    for one in found:
        if not of_cost or one.currency == incident.currency:
            return one.cost if of_cost else one.requests
    return Series([Decimal(0)] * (MOST_HOURS + CHART_HOURS))


def consumers(incident: Incident, *, actor: Actor) -> Sequence[UsageRow]:
    """Return who used the app in the 24 hours in which it was last found, the dearest first, as far as one may know."""
    return queries.usage(
        from_at=incident.last_seen_at - DAY,
        to_at=incident.last_seen_at,
        group_by=["organization", "team"],
        filters=_filters(incident),
        visible=UsageScope.of(actor),
    ).rows


def suggested_rate(incident: Incident) -> int:
    """Return the requests a minute at which the app would bring what its highest day did."""
    found = hourly.hourly(ends_at=incident.last_seen_at, hours=DAY_HOURS, app_ids=[incident.app_id])
    requests = sum((int(one.requests.window(0) or 0) for one in found), 0)
    if incident.kind != Incident.Kind.COST or not incident.actual:
        return max(1, int(requests // (DAY_HOURS * 60)))
    allowed = incident.highest or incident.expected
    return max(1, int(allowed * requests / (incident.actual * DAY_HOURS * 60)))


def _filters(incident: Incident) -> dict[str, str | list[str]]:
    currency = incident.currency or incident.app.owner_team.organization.currency
    return {
        "app": incident.app.slug,
        "environment": [Environment.PRODUCTION.value, Environment.STAGING.value],
        "currency": currency,
    }


def _mean_s(spans: Sequence[timedelta]) -> int | None:
    if not spans:
        return None
    return int(sum(spans, timedelta()).total_seconds()) // len(spans)
