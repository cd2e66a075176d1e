"""What an operator says of a pool, and how many calls it usually has at an hour of the week. Pure.

Calls at a time are told in thousandths, so that an hour with a call every other second is not nothing: 500.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

WEEK_HOURS = 168
DAY_HOURS = 24
MILLI = 1000
SATURDAY = 5
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Policy:
    """How a pool follows its demand. Percentages are whole numbers.

    ``slots``: calls that one replica takes at a time. ``quantile_percent``: how many of the past windows of an hour of
    the week the schedule has to cover. ``full_percent``: from which load of what is ready more is started.
    ``night_percent`` and ``weekend_percent`` are what is kept of the schedule then; the smaller one holds at a night of
    the weekend. ``spot_percent`` is of what goes beyond ``least_on_demand``.
    """

    slots: int
    least: int = 0
    most: int = 10
    quantile_percent: int = 90
    night_starts: int = 22
    night_ends: int = 6
    night_percent: int = 100
    weekend_percent: int = 100
    full_percent: int = 80
    cooldown_s: int = 600
    lead_s: int = 120
    spot_percent: int = 0
    least_on_demand: int = 0
    zone: tzinfo = field(default=UTC)

    def is_night(self, at: datetime) -> bool:
        """Tell whether an hour is one of the night; equal bounds mean that there is none."""
        hour = at.astimezone(self.zone).hour
        if self.night_starts <= self.night_ends:
            return self.night_starts <= hour < self.night_ends
        return hour >= self.night_starts or hour < self.night_ends

    def is_weekend(self, at: datetime) -> bool:
        return at.astimezone(self.zone).weekday() >= SATURDAY

    def kept_percent(self, at: datetime) -> int:
        """Return how much of the schedule is kept at a time."""
        kept = [100]
        if self.is_night(at):
            kept.append(self.night_percent)
        if self.is_weekend(at):
            kept.append(self.weekend_percent)
        return min(kept)

    def replicas_for(self, milli_calls: int) -> int:
        """Return how many replicas take so many thousandths of calls at a time."""
        return -(-milli_calls // (self.slots * MILLI))


@dataclass(frozen=True, slots=True)
class Window:
    """How many calls (in thousandths) were under way at a time, on average of a stretch that begins then."""

    at: datetime
    milli_calls: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Calls at a time, in thousandths, that each hour of the week usually has; None where nothing is known."""

    hours: tuple[int | None, ...] = (None,) * WEEK_HOURS
    weeks: int = 0

    @property
    def is_empty(self) -> bool:
        return all(one is None for one in self.hours)

    def at(self, moment: datetime, zone: tzinfo) -> int:
        """Return the calls that the hour of a moment usually has."""
        return self.hours[hour_of_week(moment, zone)] or 0

    def rows(self) -> tuple[tuple[int | None, ...], ...]:
        """The hours of each day, from Monday on."""
        return tuple(self.hours[day * DAY_HOURS : (day + 1) * DAY_HOURS] for day in range(7))


def hour_of_week(moment: datetime, zone: tzinfo) -> int:
    """Number the hours of the week from 0, Monday at midnight of the pool's time zone."""
    local = moment.astimezone(zone)
    return local.weekday() * DAY_HOURS + local.hour


def learn(windows: Iterable[Window], *, quantile_percent: int, zone: tzinfo) -> Profile:
    """Learn a profile: of all windows of an hour of the week, so many percent had at most what it says.

    An hour that was never seen has what its neighbors have, if both were.
    """
    seen: list[list[int]] = [[] for _ in range(WEEK_HOURS)]
    weeks: set[tuple[int, int]] = set()
    for window in windows:
        seen[hour_of_week(window.at, zone)].append(window.milli_calls)
        weeks.add(window.at.astimezone(zone).isocalendar()[:2])
    hours = [quantile(sorted(values), quantile_percent) for values in seen]
    return Profile(tuple(_filled(hours, number) for number in range(WEEK_HOURS)), len(weeks))


def quantile(ordered: Sequence[int], percent: int) -> int | None:
    """Return the smallest value that so many percent of some ordered values do not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _filled(hours: Sequence[int | None], number: int) -> int | None:
    if hours[number] is not None:
        return hours[number]
    around = (hours[number - 1], hours[(number + 1) % WEEK_HOURS])
    known = [one for one in around if one is not None]
    return max(known) if len(known) == len(around) else None


def hour_start(moment: datetime) -> datetime:
    """Return the beginning of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


HOUR = timedelta(hours=1)
