"""How an app serves: calls with and without an answer in 90 days, incidents, and how it stands now.

Limits are above and count and judge calls; they tell the catalogue, as metering tells ``measured``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from marketplace.catalog.models import App
from marketplace.catalog.service_models import ServiceDay, ServiceHour, ServiceIncident

DAYS = 90
MOST_INCIDENTS = 5
TOLD = ("kind", "state", "opened_at", "stopped_at", "closed_at")


@dataclass(frozen=True)
class DayOfService:
    """Calls of an app on a day that ended, and those of them without an answer."""

    app_id: int
    day: date
    calls: int
    failed: int


@dataclass(frozen=True)
class HourOfService:
    """Calls of an app in an hour that ended, and those of them without an answer."""

    app_id: int
    hour: datetime
    calls: int
    failed: int


@dataclass(frozen=True)
class IncidentFact:
    """What everybody may know of an incident."""

    id: UUID
    app_id: int
    kind: str
    state: str
    opened_at: datetime
    stopped_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True)
class Availability:
    """Calls of 90 days and those without an answer."""

    calls: int
    failed: int

    @property
    def percent(self) -> Decimal | None:
        """Return the share of calls that were answered, cut at six places so that none is rounded up to a promise; None without calls."""
        if not self.calls:
            return None
        millionths = (self.calls - self.failed) * 100 * 10**6 // self.calls
        return Decimal(millionths).scaleb(-6)


def note_days(days: Sequence[DayOfService]) -> None:
    """Write days over what was known of them, in the order of apps."""
    ServiceDay.objects.bulk_create(
        [
            ServiceDay(app_id=one.app_id, day=one.day, calls=one.calls, failed=one.failed)
            for one in sorted(days, key=lambda one: (one.app_id, one.day))
        ],
        update_conflicts=True,
        unique_fields=["app", "day"],
        update_fields=["calls", "failed"],
    )


def note_hours(hours: Sequence[HourOfService]) -> None:
    """Write hours over what was known of them, in the order of apps."""
    ServiceHour.objects.bulk_create(
        [
            ServiceHour(app_id=one.app_id, hour=one.hour, calls=one.calls, failed=one.failed)
            for one in sorted(hours, key=lambda one: (one.app_id, one.hour))
        ],
        update_conflicts=True,
        unique_fields=["app", "hour"],
        update_fields=["calls", "failed"],
    )


def note_incidents(facts: Sequence[IncidentFact]) -> int:
    """Write incidents that are new or other than known; returns how many."""
    known = {row.pk: row for row in ServiceIncident.objects.filter(pk__in=[fact.id for fact in facts])}
    changed = [fact for fact in facts if _is_new(fact, known.get(fact.id))]
    ServiceIncident.objects.bulk_create(
        [
            ServiceIncident(id=fact.id, app_id=fact.app_id, **{name: getattr(fact, name) for name in TOLD})
            for fact in sorted(changed, key=lambda fact: fact.id)
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=list(TOLD),
    )
    return len(changed)


def availability_of(app_id: int, *, at: datetime) -> Availability:
    """Sum the days of an app that are told (one query)."""
    today = at.astimezone(UTC).date()
    days = ServiceDay.objects.filter(app=app_id, day__gt=today - timedelta(days=DAYS), day__lte=today)
    sums = days.aggregate(calls=Sum("calls"), failed=Sum("failed"))
    return Availability(int(sums["calls"] or 0), int(sums["failed"] or 0))


def incidents_of(app: App, *, at: datetime) -> list[ServiceIncident]:
    """Return the newest incidents of 90 days (one query)."""
    since = at - timedelta(days=DAYS)
    found = ServiceIncident.objects.filter(app=app, opened_at__gte=since)
    return list(found.order_by("-opened_at", "-pk")[:MOST_INCIDENTS])


def status_of(incidents: Sequence[ServiceIncident]) -> str:
    """Say how an app stands now: ``paused``, ``throttled``, ``open`` for what is looked into, or ``usual``."""
    states = {one.state for one in incidents if one.closed_at is None}
    for state in ("paused", "throttled"):
        if state in states:
            return state
    return "open" if states else "usual"


def _is_new(fact: IncidentFact, row: ServiceIncident | None) -> bool:
    return row is None or any(getattr(fact, name) != getattr(row, name) for name in TOLD)
