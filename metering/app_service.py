"""What is measured of an app for everybody who may look at it: latency against the promise, cost per 1,000 calls.

How much it is called, and by whom, is not part of it: that is for its makers (metering.dashboards).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import QuerySet, Sum

from marketplace.catalog import about, measured, scorecards, service_levels
from marketplace.catalog.listing_pages import measured_run
from marketplace.catalog.measured import Measured
from marketplace.catalog.models import Environment, Version
from marketplace.catalog.scorecards import Part
from marketplace.catalog.service_levels import Availability
from metering import latencies
from metering.latencies import Histogram
from metering.models import DailyRollup, LatencyHistogram

LATENCY_DAYS, COST_DAYS, WEEK = 90, 30, 7
PLACES = Decimal("0.000000000000000001")


@dataclass(frozen=True)
class Week:
    """Seven days of an app: what 95 % of its calls took; None without calls."""

    first_day: date
    p95_ms: int | None


@dataclass(frozen=True)
class Service:
    """An app as measured. ``weeks`` are the 90 days before today, oldest first; None is not measured."""

    p95_ms: int | None
    promised_ms: int
    weeks: Sequence[Week]
    cost_per_1000: Decimal | None
    declared_per_1000: Decimal | None
    parts: Sequence[Part]
    availability: Availability
    promised_percent: Decimal

    @property
    def is_available(self) -> bool | None:
        percent = self.availability.percent
        return None if percent is None else percent >= self.promised_percent

    @property
    def is_kept(self) -> bool | None:
        return None if self.p95_ms is None else self.p95_ms <= self.promised_ms

    @property
    def weeks_kept(self) -> int:
        return sum(week.p95_ms is not None and week.p95_ms <= self.promised_ms for week in self.weeks)

    @property
    def weeks_measured(self) -> int:
        return sum(week.p95_ms is not None for week in self.weeks)


def service_of(version: Version, *, at: datetime) -> Service:
    """Measure the app of a version against what the version promises (four queries)."""
    today = at.astimezone(UTC).date()
    by_week = _weeks(version.app_id, today=today)
    p95 = latencies.merge(by_week.values()).p95
    cost = _cost_per_1000(version.app_id, today=today)
    availability = service_levels.availability_of(version.app_id, at=at)
    declared = version.declared_cost_per_call
    declared_per_1000 = None if declared is None else declared * 1000
    return Service(
        p95_ms=p95,
        promised_ms=version.slo_latency_ms,
        weeks=[Week(first, by_week[first].p95) for first in sorted(by_week)],
        cost_per_1000=cost,
        declared_per_1000=declared_per_1000,
        parts=(
            scorecards.security(measured_run(version)),
            scorecards.service_level(
                p95_ms=p95,
                promised_ms=version.slo_latency_ms,
                available_percent=availability.percent,
                promised_percent=version.slo_availability_percent,
            ),
            scorecards.documentation(version, about.of_version(version)),
            scorecards.cost_accuracy(measured=cost, declared=declared_per_1000),
        ),
        availability=availability,
        promised_percent=version.slo_availability_percent,
    )


def tell_catalogue(*, at: datetime) -> int:
    """Tell the catalogue what was measured of every app; returns how many it did not know so (two queries, and its own)."""
    today = at.astimezone(UTC).date()
    used = {row["attribution__app_id"]: row for row in _used(today).values("attribution__app_id").annotate(
        calls=Sum("requests"), spent=Sum("cost"))}  # fmt: skip
    timed: dict[int, dict[int, int]] = defaultdict(dict)
    buckets = _timed(today).values_list("attribution__app_id", "bucket").annotate(n=Sum("events")).order_by()
    for app_id, bucket, events in buckets:
        timed[app_id][bucket] = int(events)
    facts = []
    for app_id in sorted({*used, *timed}):
        calls = int(used[app_id]["calls"]) if app_id in used else 0
        histogram = Histogram(timed.get(app_id, {}))
        cost = _per_1000(used[app_id]["spent"], calls) if calls else None
        facts.append(Measured(app_id, calls, cost, histogram.p95, histogram.events))
    return measured.note(facts, at=at)


def _weeks(app_id: int, *, today: date) -> dict[date, Histogram]:
    """Gather the counts of 13 weeks that end today; weeks without calls are there, and empty."""
    firsts = [today - timedelta(days=WEEK * n + WEEK - 1) for n in range(-(-LATENCY_DAYS // WEEK))]
    counts: dict[date, dict[int, int]] = {first: {} for first in firsts}
    rows = (
        _timed(today).filter(attribution__app=app_id).values_list("day", "bucket").annotate(n=Sum("events"))
    )
    for day, bucket, events in rows.order_by():
        first = today - timedelta(days=(today - day).days // WEEK * WEEK + WEEK - 1)
        counts[first][bucket] = counts[first].get(bucket, 0) + int(events)
    return {first: Histogram(buckets) for first, buckets in counts.items()}


def _timed(today: date) -> QuerySet[LatencyHistogram]:
    first = today - timedelta(days=LATENCY_DAYS - 1)
    return LatencyHistogram.objects.filter(
        day__gte=first, day__lte=today, attribution__environment=Environment.PRODUCTION
    )


def _used(today: date) -> QuerySet[DailyRollup]:
    first = today - timedelta(days=COST_DAYS - 1)
    return DailyRollup.objects.filter(
        day__gte=first, day__lte=today, attribution__environment=Environment.PRODUCTION, requests__gt=0
    )


def _cost_per_1000(app_id: int, *, today: date) -> Decimal | None:
    sums = _used(today).filter(attribution__app=app_id).aggregate(calls=Sum("requests"), spent=Sum("cost"))
    return _per_1000(sums["spent"], int(sums["calls"])) if sums["calls"] else None


def _per_1000(spent: Decimal, calls: int) -> Decimal:
    return (Decimal(spent) * 1000 / calls).quantize(PLACES)
