"""A usage report as values: rows, their totals, and the same rows folded over time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, get_args

from metering.latencies import Histogram, merge
from metering.measures import Measures, total

Granularity = Literal["hour", "day", "week", "month", "total"]
DAYS = {"day": 1, "week": 7}
GRANULARITIES: tuple[str, ...] = get_args(Granularity)


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a dimension. ``id`` is what filters take; None where there is no value or it is not shown."""

    dimension: str
    id: str | None
    label: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used in one stretch of time by one combination of parts."""

    starts_at: datetime
    parts: tuple[Part, ...]
    measures: Measures


@dataclass(frozen=True)
class UsageReport:
    """Usage from ``from_at`` up to ``to_at`` (excluded). ``rows`` are in order of time, the dearest first.

    ``currency`` is empty when nothing was used; ``newest_hour`` is the last hour with any usage on the platform.
    ``before`` is the earlier period, when one was asked for (``metering.comparing``). ``histograms`` are latencies of full
    days by stretch and parts, None unless they were asked for; by group they have the report's start, by stretch no parts.
    """

    from_at: datetime
    to_at: datetime
    granularity: str
    group_by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    currency: str
    newest_hour: datetime | None
    before: "UsageReport | None" = None
    histograms: Mapping[tuple[datetime, tuple[Part, ...]], Histogram] | None = None

    @cached_property
    def totals(self) -> Measures:
        """The sum of the rows."""
        return total(row.measures for row in self.rows)

    @cached_property
    def folded(self) -> tuple[UsageRow, ...]:
        """The rows summed over time: one for each combination of parts, the dearest first."""
        found: dict[tuple[Part, ...], list[Measures]] = defaultdict(list)
        for row in self.rows:
            found[row.parts].append(row.measures)
        rows = [UsageRow(self.from_at, parts, total(measures)) for parts, measures in found.items()]
        return tuple(sorted(rows, key=dearest_first))

    @cached_property
    def over_time(self) -> tuple[UsageRow, ...]:
        """One row for every stretch of the report, in order of time, also where nothing was used."""
        found: dict[datetime, list[Measures]] = defaultdict(list)
        for row in self.rows:
            found[row.starts_at].append(row.measures)
        return tuple(UsageRow(start, (), total(found[start])) for start in self.stretches())

    @cached_property
    def latency(self) -> Histogram:
        """Latencies of everything."""
        return merge((self.histograms or {}).values())

    @cached_property
    def latency_of(self) -> Mapping[tuple[Part, ...], Histogram]:
        """Latencies of each combination of parts over the whole time."""
        found: dict[tuple[Part, ...], list[Histogram]] = defaultdict(list)
        for (_, parts), histogram in (self.histograms or {}).items():
            found[parts].append(histogram)
        return {parts: merge(histograms) for parts, histograms in found.items()}

    @cached_property
    def latency_over_time(self) -> tuple[Histogram, ...]:
        """Latencies of every stretch, in order of time."""
        found: dict[datetime, list[Histogram]] = defaultdict(list)
        for (start, _), histogram in (self.histograms or {}).items():
            found[start].append(histogram)
        return tuple(merge(found[start]) for start in self.stretches())

    def stretches(self) -> Iterator[datetime]:
        """Give the start of every hour, day, week or month of the report; the report's own start for a total."""
        if self.granularity == "total":
            yield self.from_at
            return
        start = bucket_start(self.from_at, self.granularity)
        while start < self.to_at:
            yield start
            start = next_bucket(start, self.granularity)


def dearest_first(row: UsageRow) -> tuple[object, ...]:
    """Sort key: by cost, then by requests, then by name."""
    return (-row.measures.cost, -row.measures.requests, tuple(part.label for part in row.parts))


def bucket_start(at: datetime, granularity: str) -> datetime:
    """Return the start of the UTC hour, day, week (from Monday) or month of a time."""
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if granularity == "hour":
        return at
    at = at.replace(hour=0)
    if granularity == "week":
        return at - timedelta(days=at.weekday())
    return at if granularity == "day" else at.replace(day=1)


def next_bucket(start: datetime, granularity: str) -> datetime:
    """Return the start of the next hour, day, week or month."""
    if granularity == "hour":
        return start + timedelta(hours=1)
    if granularity in DAYS:
        return start + timedelta(days=DAYS[granularity])
    return (start + timedelta(days=32)).replace(day=1)
