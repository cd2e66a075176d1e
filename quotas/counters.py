"""The counters that one transaction of admission works on: locked in key order, decided in memory, written at once."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from marketplace.core import prepared
from marketplace.core.epochs import LIMITS
from quotas.book import LimitBook, LimitFacts

ZERO = Decimal(0)
Key = tuple[int, datetime]
MOST_REMEMBERED = 200_000
_LOCK = (
    "SELECT id, limit_id, window_starts_at, window_ends_at, spent, held, overrun, ceiling "
    "FROM quotas_limitcounter WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
)
_EPOCH = "SELECT value FROM core_epoch WHERE name = %s"
_WRITE = (
    "UPDATE quotas_limitcounter c SET spent = v.spent, held = v.held, overrun = v.overrun, "
    "ceiling = v.ceiling, is_hard = v.is_hard "
    "FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::bool[]) "
    "AS v(id, spent, held, overrun, ceiling, is_hard) WHERE c.id = v.id"
)

_ids: dict[Key, int] = {}
_lock = threading.Lock()


@dataclass(slots=True)
class Counter:
    """One limit in one window, as the transaction sees it."""

    id: int
    limit: LimitFacts
    window_starts_at: datetime
    window_ends_at: datetime
    spent: Decimal
    held: Decimal
    overrun: Decimal
    ceiling: Decimal
    is_hard: bool
    is_changed: bool = False

    @property
    def used(self) -> Decimal:
        """What counts against the limit: spent, held, and what came over it."""
        return self.spent + self.held + self.overrun

    def can_take(self, amount: Decimal) -> bool:
        """Tell whether the limit admits this much more. Warn and soft limits admit everything."""
        return not self.is_hard or self.used + amount <= self.limit.value

    def hold(self, amount: Decimal) -> None:
        """Hold an amount that ``can_take`` admitted."""
        self._fit_ceiling()
        self.held += amount
        self.is_changed = True

    def release(self, amount: Decimal) -> None:
        """Give back what was held. The limit may have become hard since: the CHECK must hold for what is left."""
        self.held -= amount
        self._fit_ceiling()
        self.is_changed = True

    def spend(self, amount: Decimal) -> Decimal:
        """Book what was used; returns the part that does not fit under the limit and is booked as overrun."""
        self._fit_ceiling()
        room = amount if not self.is_hard else max(ZERO, self.ceiling - self.spent - self.held)
        fits = min(amount, room)
        self.spent += fits
        self.overrun += amount - fits
        self.is_changed = True
        return amount - fits

    def give_back(self, amount: Decimal) -> None:
        """Take back what was used after all: first of what came over the limit, then of what is spent; never below zero.

        What the counter does not have was used before the limit was there, or before its window was made anew.
        """
        of_overrun = min(amount, self.overrun)
        self.overrun -= of_overrun
        self.spent -= min(amount - of_overrun, self.spent)
        self._fit_ceiling()
        self.is_changed = True

    def _fit_ceiling(self) -> None:
        """Follow a limit that was changed. One set below what is used already keeps the CHECK true by that much."""
        self.ceiling = max(self.limit.value, self.spent + self.held)


def ids_of(windows: Mapping[Key, tuple[LimitFacts, datetime]]) -> dict[Key, int]:
    """Return the ids of these counters (limit and end of the window by key), making missing ones in key order."""
    remembered = _ids
    missing = sorted(key for key in windows if key not in remembered)
    if not missing:
        return remembered
    rows = [(windows[key][0], key[1], windows[key][1]) for key in missing]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quotas_limitcounter (limit_id, window_starts_at, window_ends_at, is_hard, ceiling, spent, held, "
            "overrun) SELECT *, 0, 0, 0 FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bool[], "
            "%s::numeric[]) ON CONFLICT (limit_id, window_starts_at) DO NOTHING",
            [
                [limit.id for limit, _, _ in rows],
                [starts_at for _, starts_at, _ in rows],
                [ends_at for _, _, ends_at in rows],
                [limit.is_hard for limit, _, _ in rows],
                [limit.value for limit, _, _ in rows],
            ],
        )
        cursor.execute(
            "SELECT c.limit_id, c.window_starts_at, c.id FROM quotas_limitcounter c "
            "JOIN unnest(%s::bigint[], %s::timestamptz[]) AS k(limit_id, starts_at) "
            "ON c.limit_id = k.limit_id AND c.window_starts_at = k.starts_at",
            [[key[0] for key in missing], [key[1] for key in missing]],
        )
        found = {(limit_id, starts_at): counter_id for limit_id, starts_at, counter_id in cursor.fetchall()}
    return {key: remembered[key] for key in windows if key in remembered} | found


def remember(found: dict[Key, int]) -> None:
    """Keep ids for the life of the process; called after the transaction that may have made them committed."""
    global _ids
    if found is _ids:
        return
    with _lock:
        if len(_ids) > MOST_REMEMBERED:
            # Not emptied: another thread may be in the middle of a transaction that counts on what it read here.
            _ids = dict(found)
        else:
            _ids.update(found)


def forget() -> None:
    """Drop all remembered ids."""
    global _ids
    with _lock:
        _ids = {}


def find_and_lock(
    windows: Mapping[Key, tuple[LimitFacts, datetime]], others: set[int], *, book: LimitBook, at: datetime
) -> tuple[dict[Key, int], dict[int, Counter], int]:
    """Lock the counters of these windows and some others; returns the ids by key, the counters by id, and the epoch of
    limits once they were locked."""
    ids = ids_of(windows)
    wanted = others | {ids[key] for key in windows}
    locked, epoch = lock(wanted, book=book, at=at)
    if len(locked) < len(wanted):
        # Counters of long ago that this process remembers were purged meanwhile; they are made anew.
        forget()
        ids = ids_of(windows)
        locked, epoch = lock(others | {ids[key] for key in windows}, book=book, at=at)
    return ids, locked, epoch


def lock(ids: Iterable[int], *, book: LimitBook, at: datetime) -> tuple[dict[int, Counter], int]:
    """Lock the counters in order of their id and return them, with the epoch of limits. A limit that is still to begin
    refuses nothing yet.

    The fixed order is what keeps processes that lock overlapping chains from waiting for each other in a circle.
    """
    # The second one sees what was committed while the first one waited.
    rows, epoch = prepared.run_in_one_trip((_LOCK, [sorted(set(ids))]), (_EPOCH, [LIMITS]))
    found = {}
    for row in rows:
        limit = book.by_id[row[1]]
        is_hard = _refuses(limit, at)
        found[row[0]] = Counter(row[0], limit, row[2], row[3], row[4], row[5], row[6], row[7], is_hard)
    return found, epoch[0][0] if epoch else 0


def follow(counters: Iterable[Counter], book: LimitBook, *, at: datetime) -> None:
    """Give locked counters their limits as they are now.

    Whoever lowers a limit to what is left of it holds its counter meanwhile: what waited for that decides by the new one.
    """
    for counter in counters:
        counter.limit = book.by_id.get(counter.limit.id, counter.limit)
        counter.is_hard = _refuses(counter.limit, at)


def _refuses(limit: LimitFacts, at: datetime) -> bool:
    return limit.is_hard and limit.starts_at <= at


def write(counters: Iterable[Counter]) -> None:
    """Write what changed, in one statement."""
    changed = [counter for counter in counters if counter.is_changed]
    if not changed:
        return
    prepared.run(
        _WRITE,
        [
            [counter.id for counter in changed],
            [counter.spent for counter in changed],
            [counter.held for counter in changed],
            [counter.overrun for counter in changed],
            [counter.ceiling for counter in changed],
            [counter.is_hard for counter in changed],
        ],
    )
