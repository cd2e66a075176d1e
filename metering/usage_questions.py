"""What is asked of usage: checked before the database is, and turned into conditions on roll-ups and histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, get_args

from django.db.models import Q

from marketplace.core.errors import InvalidInput
from metering.comparing import earlier
from metering.dimensions import Dimension, dimension
from metering.scopes import UsageScope
from metering.usage_reports import GRANULARITIES, bucket_start

MOST_DIMENSIONS = 8
MOST_VALUES = 50
MOST_DAYS = {"hour": 400, "day": 3_700, "week": 7_400, "month": 36_600, "total": 36_600}
MOST_DAYS_OF_GROUPED_HOURS = 92
FIRST_YEAR, LAST_YEAR = 2000, 3000

# Latencies by row of the report, or much less of them: by group over the whole time, or by stretch of all groups.
LatenciesBy = Literal["", "rows", "groups", "stretches"]
LATENCIES_BY: tuple[str, ...] = get_args(LatenciesBy)
Filters = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Question:
    """A question that can be answered. ``before`` is the period to compare with, both ends in full hours."""

    from_at: datetime
    to_at: datetime
    granularity: str
    dimensions: tuple[Dimension, ...]
    visible: UsageScope
    of_attributions: Q
    currencies: tuple[str, ...]
    before: tuple[datetime, datetime] | None
    latencies: str

    @property
    def periods(self) -> list[tuple[datetime, datetime]]:
        """The period, and the one to compare with."""
        return [(self.from_at, self.to_at), *([self.before] if self.before else [])]

    @property
    def full_days(self) -> list[tuple[date, date]]:
        """The days, up to an excluded one, that roll-ups of days answer for; none where hours are told apart."""
        if self.granularity == "hour":
            return []
        return [(first, last) for first, last in map(_full_days, self.periods) if first < last]

    @property
    def loose_hours(self) -> list[tuple[datetime, datetime]]:
        """What of the periods lies outside of full days."""
        if self.granularity == "hour":
            return self.periods
        return [hours for period in self.periods for hours in _loose_hours(period)]

    @property
    def in_hours(self) -> Q:
        """The condition on roll-ups of hours, for all of the periods."""
        return self._in_periods("hour", self.periods) & self._in_currencies & on_rollups(self.of_attributions)

    @property
    def in_full_days(self) -> Q:
        """The condition on roll-ups of days."""
        return (
            self._in_periods("day", self.full_days) & self._in_currencies & on_rollups(self.of_attributions)
        )

    @property
    def in_loose_hours(self) -> Q:
        """The condition on roll-ups of hours."""
        return (
            self._in_periods("hour", self.loose_hours)
            & self._in_currencies
            & on_rollups(self.of_attributions)
        )

    @property
    def in_days(self) -> Q:
        """The condition on histograms, which are kept by day: the periods widen to full days."""
        days = [(start.date(), _last_day(end) + timedelta(days=1)) for start, end in self.periods]
        return self._in_periods("day", days) & on_rollups(self.of_attributions)

    def _in_periods(self, column: str, periods: Sequence[tuple[Any, Any]]) -> Q:
        condition = Q()
        for start, end in periods:
            condition |= Q(**{f"{column}__gte": start, f"{column}__lt": end})
        return condition

    @property
    def _in_currencies(self) -> Q:
        return Q(currency__in=self.currencies) if self.currencies else Q()


def ask(
    *,
    from_at: datetime,
    to_at: datetime,
    filters: Filters,
    visible: UsageScope,
    granularity: str = "total",
    group_by: Sequence[str] = (),
    compare: str = "",
    latencies: str = "",
) -> Question:
    """Check a question; raises InvalidInput that names the parameter, also for what would not finish."""
    from_at, to_at = _full_hours(from_at, to_at)
    dimensions = _dimensions(group_by)
    _refuse_too_much(from_at, to_at, granularity=granularity, dimensions=dimensions)
    _refuse_hours_of_latency(granularity, latencies)
    return Question(
        from_at=from_at,
        to_at=to_at,
        granularity=granularity,
        dimensions=dimensions,
        visible=visible,
        of_attributions=visible.visible() & _filtered(filters, visible),
        currencies=values_of(filters.get("currency", ()), field="currency"),
        before=earlier(from_at, to_at, compare=compare) if compare else None,
        latencies=latencies,
    )


def values_of(given: str | Sequence[str], *, field: str) -> tuple[str, ...]:
    """Return the values of one filter; several mean any of them."""
    values = (given,) if isinstance(given, str) else tuple(given)
    if any("\0" in value for value in values):
        raise InvalidInput(field, "holds a character that no name has")
    if len(values) > MOST_VALUES:
        raise InvalidInput(field, f"takes at most {MOST_VALUES} values", limit=MOST_VALUES)
    return values


def on_rollups(condition: Q) -> Q:
    """Turn a condition on attributions into the same one on what points to them: roll-ups, histograms, events."""
    moved: list[Any] = [
        on_rollups(child) if isinstance(child, Q) else (f"attribution__{child[0]}", child[1])  # type: ignore[index]
        for child in condition.children
    ]
    return Q(*moved, _connector=condition.connector, _negated=condition.negated)


def _full_hours(from_at: datetime, to_at: datetime) -> tuple[datetime, datetime]:
    for name, at in (("from", from_at), ("to", to_at)):
        if not FIRST_YEAR <= at.astimezone(UTC).year < LAST_YEAR:
            raise InvalidInput(name, f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    if to_at <= from_at:
        raise InvalidInput("to", "must be after the start; the end is excluded")
    start, end = bucket_start(from_at, "hour"), bucket_start(to_at, "hour")
    return start, end if end == to_at else end + timedelta(hours=1)


def _dimensions(group_by: Sequence[str]) -> tuple[Dimension, ...]:
    dimensions = tuple(dimension(name) for name in group_by)
    if len(set(group_by)) < len(dimensions):
        raise InvalidInput("group_by", "names a dimension twice")
    if len(dimensions) > MOST_DIMENSIONS:
        raise InvalidInput("group_by", f"takes at most {MOST_DIMENSIONS} dimensions", limit=MOST_DIMENSIONS)
    return dimensions


def _refuse_too_much(
    from_at: datetime, to_at: datetime, *, granularity: str, dimensions: Sequence[Dimension]
) -> None:
    if granularity not in GRANULARITIES:
        raise InvalidInput("granularity", f"{granularity!r} is not one of {', '.join(GRANULARITIES)}")
    most = MOST_DAYS[granularity]
    hint = {"hour": "day", "day": "month"}.get(granularity)
    if granularity == "hour" and len(dimensions) > 1:
        most = MOST_DAYS_OF_GROUPED_HOURS
    if to_at - from_at > timedelta(days=most):
        message = f"is more than {most} days after the start, too much by the {granularity}"
        message += f"; ask for less time, or granularity={hint}" if hint else ""
        raise InvalidInput("to", message, limit=most, code="too_much")


def _refuse_hours_of_latency(granularity: str, latencies: str) -> None:
    if latencies not in LATENCIES_BY:
        raise InvalidInput("latency", f"{latencies!r} is not one of {', '.join(LATENCIES_BY[1:])}")
    if latencies in ("rows", "stretches") and granularity == "hour":
        message = "percentiles of latency are kept by day only; ask for granularity=day"
        raise InvalidInput("granularity", message, code="by_day_only")


def _filtered(filters: Filters, visible: UsageScope) -> Q:
    condition = Q()
    for name, given in filters.items():
        values = values_of(given, field=name)
        if name == "currency" or not values:
            continue
        wanted = dimension(name, field=name)
        any_of = Q()
        for value in values:
            any_of |= wanted.asked(value)
        condition &= any_of
        if wanted.is_private:
            condition &= visible.known()
    return condition


def _full_days(period: tuple[datetime, datetime]) -> tuple[date, date]:
    """Return the first full day in UTC of a period, and the day after the last one."""
    start, end = period
    first = start.date() if start == bucket_start(start, "day") else start.date() + timedelta(days=1)
    return first, end.date()


def _loose_hours(period: tuple[datetime, datetime]) -> list[tuple[datetime, datetime]]:
    """Return what of a period lies before its first full day and after its last one."""
    first, last = _full_days(period)
    if first >= last:
        return [period]
    edges = [(period[0], _midnight(first)), (_midnight(last), period[1])]
    return [(start, end) for start, end in edges if start < end]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _last_day(end: datetime) -> Any:
    return (end - timedelta(microseconds=1)).date()
