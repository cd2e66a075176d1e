"""In which month usage is billed: the month it occurred in, or the next open one when that month is closed."""

from datetime import UTC, date, datetime

from django.db import connection

from metering.models import ClosedPeriod

# One advisory lock between recording (shared) and closing a month (exclusive): when a month closes, no
# transaction is under way that still takes it for open.
RECORDING_LOCK = 7001


def lock_for_recording() -> frozenset[date]:
    """Hold off closings until this transaction ends; returns the months that are closed."""
    with connection.cursor() as cursor:
        # Two statements in one trip: the second one must see what a closing committed while the first one waited.
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s); SELECT period FROM metering_closedperiod",
            [RECORDING_LOCK],
        )
        cursor.nextset()
        return frozenset(period for (period,) in cursor.fetchall())


def close(period: date, *, at: datetime) -> bool:
    """Close a month for usage; False when it was closed before. Must run inside a transaction, which it orders
    after every recording under way."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])
    _, is_new = ClosedPeriod.objects.get_or_create(period=period, defaults={"closed_at": at})
    return is_new


def month(at: datetime) -> date:
    """Return the first day of a time's month in UTC."""
    moment = at.astimezone(UTC)
    return date(moment.year, moment.month, 1)


def billed_in(occurred_at: datetime, closed: frozenset[date]) -> date:
    """Return the month that bills usage: its own, or the first later one that is not closed."""
    period = month(occurred_at)
    while period in closed:
        period = next_month(period)
    return period


def next_month(period: date, *, by: int = 1) -> date:
    """Return the first day of the month so many months after (or before) a month."""
    count = period.year * 12 + period.month - 1 + by
    return date(count // 12, count % 12 + 1, 1)


def bounds(period: date) -> tuple[datetime, datetime]:
    """Return the first instant of a month, and that of the next one, which is excluded."""
    after = next_month(period)
    return datetime(period.year, period.month, 1, tzinfo=UTC), datetime(
        after.year, after.month, 1, tzinfo=UTC
    )
