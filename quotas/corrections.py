"""Corrections of usage, counted against limits: one transaction with the correction itself.

A window that still runs follows what is true now: less usage gives room back, more of it counts, and what does not fit
is overrun, as with reports. Windows that have ended are left alone. Re-ratings are not counted here: a price that was
wrong is nobody's use, and a budget that is spent does not move under calls that were admitted on it.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from marketplace.accounts.access import Actor
from marketplace.core.epochs import read_epochs
from metering import corrections
from metering.attribution import COLUMNS, Dimensions
from metering.corrections import Change, Made
from metering.models import UsageEvent
from quotas import counters
from quotas.book import LimitBook, LimitFacts, owners_of
from quotas.counters import Counter
from quotas.lifts import limits_at
from quotas.models import OverrunEntry


def amend(
    event: UsageEvent, *, change: Change, reason: str, by: Actor, at: datetime, idempotency_key: str = ""
) -> Made:
    """Amend an event and let the limits of its chain follow. Raises as ``metering.corrections.amend`` does."""
    book = limits_at(at, read_epochs())
    with transaction.atomic():
        made = corrections.amend(
            event, change=change, reason=reason, by=by, at=at, idempotency_key=idempotency_key
        )
        _count(made, book=book, at=at)
    return made


def void(event: UsageEvent, *, reason: str, by: Actor, at: datetime, idempotency_key: str = "") -> Made:
    """Take an event back and let the limits of its chain follow. Raises as ``metering.corrections.void`` does."""
    book = limits_at(at, read_epochs())
    with transaction.atomic():
        made = corrections.void(event, reason=reason, by=by, at=at, idempotency_key=idempotency_key)
        _count(made, book=book, at=at)
    return made


def _count(made: Made, *, book: LimitBook, at: datetime) -> None:
    """Move the counters of the windows that still run; locked in the order of their ids, after events and roll-ups."""
    if not made.is_new:
        return
    windows = _windows(made, book=book, at=at)
    ids, locked, _ = counters.find_and_lock(windows, set(), book=book, at=at)
    overruns = [_moved(locked[ids[key]], made) for key in windows]
    counters.write(locked.values())
    _keep(overruns, at=at)


def _windows(made: Made, *, book: LimitBook, at: datetime) -> dict[counters.Key, tuple[LimitFacts, datetime]]:
    who = Dimensions(*(getattr(made.event.attribution, column) for column in COLUMNS))
    moment = made.event.occurred_at
    model = made.event.attribution.model
    classes = (model.model_class,) if model else ()
    found = {}
    for limit in book.chain(owners_of(who), environment=who.environment, at=moment, classes=classes):
        starts_at, ends_at = limit.bounds(moment)
        if limit.measure != "concurrency" and ends_at > at and _amount(made, limit.measure):
            found[limit.id, starts_at] = (limit, ends_at)
    return found


def _amount(made: Made, measure: str) -> Decimal:
    """Return what was added in a limit's measure; negative where it became less."""
    if measure == "cost":
        return made.cost_difference
    added = made.difference
    return Decimal(added.requests if measure == "requests" else added.total_tokens)


def _moved(counter: Counter, made: Made) -> tuple[Counter, Decimal]:
    amount = _amount(made, counter.limit.measure)
    if amount < 0:
        counter.give_back(-amount)
        return counter, Decimal(0)
    return counter, counter.spend(amount)


def _keep(overruns: Iterable[tuple[Counter, Decimal]], *, at: datetime) -> None:
    OverrunEntry.objects.bulk_create(
        OverrunEntry(
            limit_id=counter.limit.id,
            window_starts_at=counter.window_starts_at,
            amount=beyond,
            cause="correction",
            created_at=at,
        )
        for counter, beyond in overruns
        if beyond
    )
