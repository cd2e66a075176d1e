"""When the next reminder of an invoice is due. Pure; days are of UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from marketplace.core.money import exact, from_minor, round_minor

SATURDAY = 5
DAYS_A_YEAR = 365


@dataclass(frozen=True)
class Step:
    """A step of a policy as the schedule needs it."""

    position: int
    days_after_due: int
    stops_calls: bool = False


@dataclass(frozen=True)
class Taken:
    """The last step that was taken."""

    position: int
    days_after_due: int
    sent_at: datetime


@dataclass(frozen=True)
class Planned:
    """A step to come, and from when on it may be taken."""

    position: int
    at: datetime
    stops_calls: bool


def ahead(
    steps: Sequence[Step],
    *,
    due_at: datetime,
    last: Taken | None,
    rests_until: datetime | None,
    spares_weekends: bool,
) -> list[Planned]:
    """Plan the steps that are left, in order.

    Each waits for its day after the due date, for as long after the one before as the policy says (so nobody who had a
    pause hears everything at once), and for the end of a pause; one that stops calls waits for Monday if it falls on a
    weekend. Steps on day 3, 10 and 20: when the first went out on day 8, the second comes on day 15.
    """
    planned: list[Planned] = []
    for step in sorted(steps, key=lambda one: one.days_after_due):
        if last is not None and step.days_after_due <= last.days_after_due:
            continue
        at = due_at + timedelta(days=step.days_after_due)
        if last is not None:
            at = max(at, last.sent_at + timedelta(days=step.days_after_due - last.days_after_due))
        if rests_until is not None:
            at = max(at, rests_until)
        if step.stops_calls and spares_weekends:
            at = after_weekend(at)
        planned.append(Planned(step.position, at, step.stops_calls))
        last = Taken(step.position, step.days_after_due, at)
    return planned


def after_weekend(at: datetime) -> datetime:
    """Move Saturday and Sunday to the beginning of Monday."""
    if at.weekday() < SATURDAY:
        return at
    monday = at + timedelta(days=7 - at.weekday())
    return monday.replace(hour=0, minute=0, second=0, microsecond=0)


def interest_minor(
    due_minor: int, *, percent: Decimal, since: datetime, until: datetime, currency: str
) -> int:
    """Give simple interest for whole days of a year of 365, rounded once: 8 percent of 1,000.00 for 30 days is 6.58."""
    days = max(0, (until - since).days)
    with exact():
        return round_minor(from_minor(due_minor, currency) * percent * days / (100 * DAYS_A_YEAR), currency)
