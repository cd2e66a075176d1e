"""Half-open stretches of time: billing months in UTC, calendar windows of limits, shares of a month.

Every interval includes its start and excludes its end. Nothing here reads the clock.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marketplace.core.errors import InvalidInput

Window = Literal["minute", "day", "month"]
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_DAY_FIRST = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}($|[Tt ])")


@dataclass(frozen=True, order=True)
class Period:
    """A half-open stretch between two instants, given in any time zone and kept in UTC."""

    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts_at", _in_utc(self.starts_at))
        object.__setattr__(self, "ends_at", _in_utc(self.ends_at))
        if self.ends_at <= self.starts_at:
            raise InvalidInput("ends_at", "must be after the start; the end is excluded")

    def __str__(self) -> str:
        return self.name

    @property
    def is_month(self) -> bool:
        return self == month_of(self.starts_at)

    @property
    def name(self) -> str:
        """Give "2026-10" for a whole month, else both days: "2026-11-10/2026-12-01", the second excluded."""
        if self.is_month:
            return f"{self.starts_at:%Y-%m}"
        return f"{self.starts_at:%Y-%m-%d}/{self.ends_at:%Y-%m-%d}"

    @property
    def days(self) -> int:
        """Count days: the day of a start counts as a whole, the day of an end does not count.

        So a change in the middle of a day gives that day to what comes after it, and nothing twice.
        """
        return (self.ends_at.date() - self.starts_at.date()).days

    def contains(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at

    def overlap(self, other: "Period") -> "Period | None":
        starts_at, ends_at = max(self.starts_at, other.starts_at), min(self.ends_at, other.ends_at)
        return Period(starts_at, ends_at) if starts_at < ends_at else None

    def share_of(self, whole: "Period") -> Fraction:
        """Give the share of the days of `whole` that this covers: 10 November to 1 December is 21/30."""
        common = self.overlap(whole)
        return Fraction(common.days, whole.days) if common and whole.days else Fraction(0)

    def next(self) -> "Period":
        """Give the period after this one: the next month for a month, else one of the same length."""
        if self.is_month:
            return month_of(self.ends_at)
        return Period(self.ends_at, self.ends_at + (self.ends_at - self.starts_at))

    def previous(self) -> "Period":
        if self.is_month:
            return month_of(self.starts_at - timedelta(days=1))
        return Period(self.starts_at - (self.ends_at - self.starts_at), self.starts_at)


def month_of(at: datetime) -> Period:
    """Give the UTC month that contains an instant."""
    first = _in_utc(at).date().replace(day=1)
    return Period(_midnight(first), _midnight(_first_of_next_month(first)))


def parse_month(text: str, *, field: str = "period") -> Period:
    """Read "2026-10"; raises InvalidInput naming `field` for anything else."""
    match = _MONTH.fullmatch(text) if isinstance(text, str) else None
    if match is None or not 1 <= int(match[1]) < 9999:
        raise InvalidInput(field, 'must be a month such as "2026-10"', code="not_a_month")
    return month_of(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC))


def parse_instant(text: object, *, field: str) -> datetime:
    """Read a day ("2026-11-10", its first instant in UTC) or an RFC 3339 time with an offset, into UTC.

    Raises InvalidInput naming `field`, also for a time without an offset.
    """
    instant = _read_instant(text) if isinstance(text, str) and _DAY_FIRST.match(text) else None
    if instant is None:
        message = 'must be a day such as "2026-11-10" or an RFC 3339 time with an offset'
        raise InvalidInput(field, message, code="not_a_time")
    return instant


def window_bounds(at: datetime, window: Window, time_zone: str = "UTC") -> tuple[datetime, datetime]:
    """Give the start and the end, in UTC, of the calendar minute, day or month around `at`.

    Days and months begin at local midnight, so a day has 23 or 25 hours when clocks change. Where midnight
    does not exist, the day begins with its first instant.
    """
    if window not in get_args(Window):
        raise InvalidInput("window", f"must be one of {', '.join(get_args(Window))}")
    zone = _zone(time_zone)
    if window == "minute":
        start = _in_utc(at).replace(second=0, microsecond=0)
        return start, start + timedelta(minutes=1)
    first = _in_utc(at).astimezone(zone).date()
    if window == "day":
        return _midnight(first, zone), _midnight(first + timedelta(days=1), zone)
    first = first.replace(day=1)
    return _midnight(first, zone), _midnight(_first_of_next_month(first), zone)


def check_zone(name: str, *, field: str = "time_zone") -> None:
    """Raise InvalidInput unless this is the name of a time zone, such as Europe/Berlin."""
    try:
        _zone(name)
    except InvalidInput as error:
        raise InvalidInput(field, error.errors[0].message) from None


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC)


def _midnight(day: date, zone: ZoneInfo | None = None) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone or UTC).astimezone(UTC)


def _first_of_next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("time_zone", f"{name!r} is not an IANA time zone such as Europe/Berlin") from None


def _read_instant(text: str) -> datetime | None:
    try:
        if len(text) == len("2026-11-10"):
            return _midnight(date.fromisoformat(text))
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (ValueError, OverflowError):
        return None
