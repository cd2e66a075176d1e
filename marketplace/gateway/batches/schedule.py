"""When a batch is worked on: in cheap hours where there are some in time, else at once. Pure.

A batch waits for cheap hours only as long as what is left of it can still be done before it is due, at the speed that was
measured, with room to spare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
# Measured speed is that of other batches: this one may have longer calls, and workers may be fewer.
SPARE = 2
LEAST_SPARE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of a weekday in UTC, the last one excluded; Monday is 0."""

    weekday: int
    from_hour: int
    to_hour: int


@dataclass(frozen=True, slots=True)
class Plan:
    """When to go on, and why not now when it is later."""

    run_at: datetime
    reason: str = ""


def plan(
    *, at: datetime, due_at: datetime, lines: int, seconds_a_line: float, hours: Sequence[Hours]
) -> Plan:
    """Say when what is left of a batch is to be worked on."""
    if not hours or is_cheap(at, hours):
        return Plan(at)
    cheap_at = next_cheap(at, hours)
    latest_at = due_at - max(timedelta(seconds=lines * seconds_a_line * SPARE), LEAST_SPARE)
    if cheap_at <= latest_at:
        return Plan(cheap_at, "waits for cheap hours")
    return Plan(at)


def is_cheap(at: datetime, hours: Sequence[Hours]) -> bool:
    """Tell whether a time lies in cheap hours."""
    return any(one.weekday == at.weekday() and one.from_hour <= at.hour < one.to_hour for one in hours)


def next_cheap(at: datetime, hours: Sequence[Hours]) -> datetime:
    """Return when cheap hours begin next, after ``at``; there is at least one."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = (
        midnight + DAY * ((one.weekday - at.weekday()) % 7) + timedelta(hours=one.from_hour) for one in hours
    )
    return min(begin if begin > at else begin + 7 * DAY for begin in begins)
