"""Billing months of the story: all but the last whole one are closed, that one waits for finance."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from billing.close import close_period
from billing.models import BillingPeriod
from billing.terms import Terms
from marketplace.accounts.models import User
from marketplace.config.demo.timeline import Timeline
from marketplace.core.periods import Period, month_of
from metering import periods

# Finance closes on the third, at ten.
CLOSED_AFTER = timedelta(days=2, hours=10)


def months(timeline: Timeline) -> Iterator[Period]:
    """Yield the months of the recorded usage, the running one last."""
    month = month_of(timeline.starts_at)
    while month.starts_at <= timeline.at:
        yield month
        month = month.next()


def closed_months(timeline: Timeline) -> list[tuple[Period, datetime]]:
    """Return the months that finance has closed, and when: today's and the one before are open."""
    return [(month, month.ends_at + CLOSED_AFTER) for month in list(months(timeline))[:-2]]


def billed_in(occurred_at: datetime, received_at: datetime, timeline: Timeline) -> date:
    """Return the month that bills usage: its own, or the next open one when it came after the close."""
    closed = {month.starts_at.date() for month, at in closed_months(timeline) if at <= received_at}
    return periods.billed_in(occurred_at, frozenset(closed))


def close_months(timeline: Timeline, *, terms: Terms, by: User) -> int:
    """Close what finance has closed, in order, with invoices and statements; returns how many months."""
    for month in months(timeline):
        BillingPeriod.objects.get_or_create(
            name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
        )
    closed = closed_months(timeline)
    for month, at in closed:
        close_period(month.name, at=at, by=by, terms=terms)
    return len(closed)
