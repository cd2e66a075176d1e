"""Days on which approvers work: no Saturday, no Sunday, no holiday of theirs. Pure; days are of UTC."""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta

SATURDAY = 5
DAY = timedelta(days=1)


def is_business_day(day: date, holidays: Collection[date] = ()) -> bool:
    """Tell whether approvers work on this day."""
    return day.weekday() < SATURDAY and day not in holidays


def after(at: datetime, days: int, holidays: Collection[date] = ()) -> datetime:
    """Add business days: three after a Thursday noon is Tuesday noon, and Wednesday noon when Monday is a holiday."""
    while days:
        at += DAY
        days -= is_business_day(at.date(), holidays)
    return at


def between(start: datetime, end: datetime, holidays: Collection[date] = ()) -> timedelta:
    """Measure the time on business days from one moment to a later one: Friday noon to Monday noon is one day."""
    passed = timedelta()
    while start < end:
        stop = min(_next_day(start), end)
        if is_business_day(start.date(), holidays):
            passed += stop - start
        start = stop
    return passed


def add(at: datetime, amount: timedelta, holidays: Collection[date] = ()) -> datetime:
    """Let time pass that only counts on business days: a day after Friday noon is Monday noon."""
    while amount > timedelta():
        stop = _next_day(at)
        if is_business_day(at.date(), holidays):
            stop = min(stop, at + amount)
            amount -= stop - at
        at = stop
    return at


def resumed(due_at: datetime, *, paused_at: datetime, at: datetime, holidays: Collection[date] = ()) -> datetime:  # fmt: skip
    """Move a due date by as long as the clock stood: as much is left of it as when it stopped.

    What was overdue when the clock stopped stays due when it was.
    """
    if due_at <= paused_at:
        return due_at
    return add(at, between(paused_at, due_at, holidays), holidays)


def _next_day(at: datetime) -> datetime:
    return datetime.combine(at.date() + DAY, time(), at.tzinfo)
