"""Which month takes what is entered now for an earlier one: its own while it is open, else the next open one."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

from billing.models import BillingPeriod, Reopening
from marketplace.core.periods import Period, month_of, parse_month


def is_open_for_corrections(period: BillingPeriod) -> bool:
    """Tell whether a month takes shared costs, rules and corrections: it is open, or reopened for them."""
    return period.state == BillingPeriod.State.OPEN or is_reopened(period.name)


def is_reopened(name: str) -> bool:
    """Tell whether a closed month takes corrections, because two people said so."""
    return Reopening.objects.filter(period=name, state=Reopening.State.APPROVED).exists()


def taking_month(name: str) -> BillingPeriod:
    """Give the first month from this one on that takes anything more, made when it is missing.

    A trigger refuses the row all the same when the month closes first.
    """
    month = parse_month(name)
    while True:
        period = _existing(month)
        if is_open_for_corrections(period):
            return period
        month = month.next()


def next_open_month(after: BillingPeriod) -> BillingPeriod:
    """Give the first month after this one that is open; a correction of it stands there."""
    month = parse_month(after.name).next()
    while (period := _existing(month)).state != BillingPeriod.State.OPEN:
        month = month.next()
    return period


def _existing(month: Period) -> BillingPeriod:
    period, _ = BillingPeriod.objects.get_or_create(
        name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
    )
    return period


def months_between(starts: date, ends: date) -> Iterator[tuple[Period, int]]:
    """Yield each month that days lie in with how many of them, the last day excluded."""
    whole = Period(_midnight(starts), _midnight(ends))
    month = month_of(whole.starts_at)
    while month.starts_at < whole.ends_at:
        common = month.overlap(whole)
        if common:
            yield month, common.days
        month = month.next()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
