"""How a grant raises limits: for its time they hold at the higher of what they say and what was granted.

The limit itself is not touched, so a plan that changes meanwhile is not lost, and what holds afterwards is exactly what
the limit says then. Grants begin and end by their times; nothing has to run for that.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Greatest

from marketplace.core import epochs
from marketplace.core.snapshots import Snapshot
from quotas.book import LimitBook, limit_book, load_limit_book
from quotas.increase_models import GrantedLimit
from quotas.models import Limit


@dataclass(frozen=True, slots=True)
class Lift:
    """A limit is at least ``value`` from a time to another."""

    limit_id: int
    value: Decimal
    starts_at: datetime
    ends_at: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True)
class LiftBook:
    """All lifts that have not ended by their state, and the moments at which one begins or ends."""

    lifts: tuple[Lift, ...] = ()
    moments: tuple[datetime, ...] = field(default=())

    def values(self, at: datetime) -> dict[int, Decimal]:
        """Return by limit the highest value that a grant gives it at a time."""
        values: dict[int, Decimal] = {}
        for lift in self.lifts:
            if lift.holds(at):
                values[lift.limit_id] = max(lift.value, values.get(lift.limit_id, lift.value))
        return values


def load_lifts() -> LiftBook:
    """Read the lifts of all grants that run or are to come (one query)."""
    rows = GrantedLimit.objects.filter(
        overruled_at=None, grant__state__in=["scheduled", "active"]
    ).values_list("limit_id", "grant__value", "grant__starts_at", "grant__lapses_at")
    lifts = tuple(Lift(*row) for row in rows.order_by("pk"))
    moments = {moment for lift in lifts for moment in (lift.starts_at, lift.ends_at) if moment is not None}
    return LiftBook(lifts, tuple(sorted(moments)))


lift_book: Snapshot[LiftBook] = Snapshot(epochs.LIMITS, load_lifts)


def limits_at(at: datetime, epochs: dict[str, int]) -> LimitBook:
    """Return all limits at the values that hold at a time, for epochs that were just read."""
    return lifted(limit_book.at(epochs), lift_book.at(epochs), at=at)


def load_limits(at: datetime) -> LimitBook:
    """Read all limits at the values that hold at a time; nothing is remembered, so a transaction under way may ask."""
    return lifted(load_limit_book(), load_lifts(), at=at)


_last: tuple[LimitBook, LiftBook, int, LimitBook] | None = None


def lifted(book: LimitBook, lifts: LiftBook, *, at: datetime) -> LimitBook:
    """Return the book with every limit at the value that holds at a time.

    It is made once for each stretch between two moments at which a grant begins or ends, and remembered.
    """
    global _last
    if not lifts.lifts:
        return book
    stretch = bisect_right(lifts.moments, at)
    last = _last
    if last is not None and last[0] is book and last[1] is lifts and last[2] == stretch:
        return last[3]
    made = _raised(book, lifts.values(at))
    _last = (book, lifts, stretch, made)
    return made


def _raised(book: LimitBook, values: dict[int, Decimal]) -> LimitBook:
    raised = {
        id_: replace(book.by_id[id_], value=value)
        for id_, value in values.items()
        if id_ in book.by_id and value > book.by_id[id_].value
    }
    if not raised:
        return book
    owners = {facts.owner for facts in raised.values()}
    by_owner = {
        owner: tuple(raised.get(facts.id, facts) for facts in limits) if owner in owners else limits
        for owner, limits in book.by_owner.items()
    }
    return replace(book, by_owner=by_owner, by_id=book.by_id | raised)


def value_at(at: datetime) -> Greatest:
    """Give the value of a limit at a time, as an expression on limits; PostgreSQL's GREATEST leaves out what is null."""
    running = GrantedLimit.objects.filter(
        Q(grant__lapses_at=None) | Q(grant__lapses_at__gt=at),
        limit=OuterRef("pk"),
        overruled_at=None,
        grant__starts_at__lte=at,
    )
    highest = running.order_by().values("limit").annotate(highest=Max("grant__value")).values("highest")
    return Greatest(F("limit_value"), Subquery(highest))


def with_values(limits: QuerySet[Limit], *, at: datetime) -> QuerySet[Any]:
    """Add to limits the value that holds at a time, as ``value_now``."""
    return limits.annotate(value_now=value_at(at))


def overrule(limit: Limit, *, at: datetime) -> int:
    """Let no grant lift a limit any more; returns how many did. For who sets it by hand: the newest word holds."""
    return GrantedLimit.objects.filter(
        limit=limit, overruled_at=None, grant__state__in=["scheduled", "active"]
    ).update(overruled_at=at)
