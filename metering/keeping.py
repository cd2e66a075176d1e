"""Keeping rejected usage until somebody says whose it is: written in the transaction of its report, once.

Whoever keeps or ends events of an app holds the row of its inbox, in order of apps, after everything else that the
transaction locks.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.db.models import QuerySet

from marketplace.core.ids import uuid7
from metering.inbox_models import MOST_OPEN, Inbox, KeptEvent
from metering.reports import KeptAs, Unplaced

COLUMNS = (
    "group_id", "app_id", "event_id", "content_hash", "occurred_at", "received_at", "body", "tokens",
    "estimated_cost", "currency", "key_id", "environment",
)  # fmt: skip
TYPES = "uuid[], bigint[], text[], bytea[], timestamptz[], timestamptz[], text[], bigint[], numeric[], text[], uuid[], text[]"
GroupKey = tuple[str, str]
KeptEvents = QuerySet[KeptEvent]
State = KeptEvent.State
LONGEST = timedelta(days=400)


def update(unplaced: Sequence[Unplaced], counted: Mapping[int, Collection[str]], *, at: datetime) -> None:
    """Keep events that name something unknown, and end those kept ones whose id is counted now, by app.

    Must run inside the transaction that counts them. Says of each unplaced event what became of it: one that is kept
    already is not kept twice, one whose id was counted is not kept at all, and a full inbox only counts.
    """
    by_app: dict[int, list[Unplaced]] = defaultdict(list)
    for one in unplaced:
        by_app[one.usage.who.app_id].append(one)
    for app_id in sorted(by_app.keys() | counted.keys()):
        _update_app(app_id, by_app.get(app_id, []), counted.get(app_id, ()), at=at)


def _update_app(app_id: int, unplaced: list[Unplaced], counted_ids: Collection[str], *, at: datetime) -> None:
    inbox = _lock(app_id, is_needed=bool(unplaced))
    if inbox is None:
        return
    ended = _end(app_id, counted_ids, at=at) if inbox.open_events and counted_ids else 0
    new, refused = _choose(app_id, unplaced, room=MOST_OPEN - inbox.open_events + ended)
    if new:
        _insert(app_id, new, at=at)
    if new or refused or ended:
        Inbox.objects.filter(pk=app_id).update(
            open_events=inbox.open_events + len(new) - ended, not_kept=inbox.not_kept + refused
        )


def _lock(app_id: int, *, is_needed: bool) -> Inbox | None:
    """Hold the inbox of an app, which is made for the first event; None when there is none and none is needed."""
    inbox = Inbox.objects.select_for_update().filter(pk=app_id).first()
    if inbox is None and is_needed:
        # Only now: its trigger raises the directory's epoch also for an insert that changes nothing.
        Inbox.objects.bulk_create([Inbox(app_id=app_id)], ignore_conflicts=True)
        inbox = Inbox.objects.select_for_update().get(pk=app_id)
    return inbox


def _end(app_id: int, event_ids: Collection[str], *, at: datetime) -> int:
    kept = KeptEvent.objects.filter(app=app_id, state=State.OPEN, event_id__in=list(event_ids))
    return kept.update(state=State.COUNTED, ended_at=at, trouble="")


def _choose(app_id: int, unplaced: list[Unplaced], *, room: int) -> tuple[list[Unplaced], int]:
    """Choose the events that are new and find room, and count those that find none."""
    if not unplaced:
        return [], 0
    known, counted = _known(app_id, unplaced)
    new: list[Unplaced] = []
    refused = 0
    for one in unplaced:
        key = (one.usage.event_id, one.usage.content_hash)
        if one.usage.event_id in counted:
            one.kept_as = KeptAs.COUNTED_BEFORE
        elif key not in known and len(new) >= room:
            one.kept_as = KeptAs.FULL
            refused += 1
        else:
            one.kept_as = KeptAs.KEPT
            if key not in known:
                known.add(key)
                new.append(one)
    return new, refused


def _known(app_id: int, unplaced: Iterable[Unplaced]) -> tuple[set[tuple[str, bytes]], set[str]]:
    """Find which of these events are kept already, in any state, and which ids are counted."""
    ids = [one.usage.event_id for one in unplaced]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, content_hash FROM metering_keptevent WHERE app_id = %s AND event_id = ANY(%s)",
            [app_id, ids],
        )
        known = {(event_id, bytes(content_hash)) for event_id, content_hash in cursor.fetchall()}
        cursor.execute(
            "SELECT event_id FROM metering_eventkey WHERE app_id = %s AND event_id = ANY(%s)", [app_id, ids]
        )
        return known, {event_id for (event_id,) in cursor.fetchall()}


def _insert(app_id: int, new: list[Unplaced], *, at: datetime) -> None:
    groups = _groups(app_id, new, at=at)
    rows = [
        (
            groups[one.field, _text(one.value)],
            app_id,
            one.usage.event_id,
            one.usage.content_hash,
            one.usage.occurred_at,
            at,
            msgspec.json.encode(one.event).decode(),
            one.usage.quantities.total_tokens,
            one.rated.cost,
            one.currency,
            one.key_id,
            one.environment,
        )
        for one in new
    ]
    columns = ", ".join(COLUMNS)
    arrays = ", ".join(f"%s::{kind}" for kind in TYPES.split(", "))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO metering_keptevent ({columns}, state, trouble) "  # noqa: S608
            f"SELECT *, 'open', '' FROM unnest({arrays})",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _groups(app_id: int, new: list[Unplaced], *, at: datetime) -> dict[GroupKey, UUID]:
    """Find or make the group of every event, and note when it was last seen."""
    codes = {(one.field, _text(one.value)): one.code for one in new}
    found: dict[GroupKey, UUID] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_unattributedgroup (id, app_id, code, field, value, first_seen_at, last_seen_at) "
            "SELECT id, %s, code, field, value, %s, %s FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) "
            "AS one(id, code, field, value) "
            "ON CONFLICT (app_id, field, value) DO UPDATE SET last_seen_at = EXCLUDED.last_seen_at "
            "RETURNING id, field, value",
            [
                app_id,
                at,
                at,
                [uuid7() for _ in codes],
                list(codes.values()),
                [field for field, _ in codes],
                [value for _, value in codes],
            ],
        )
        for group_id, field, value in cursor.fetchall():
            found[field, value] = group_id
    return found


def _text(value: str) -> str:
    """Write a value as PostgreSQL can hold it: without the character NUL."""
    return value.replace("\x00", "\ufffd")


def move(kept: KeptEvent, unplaced: Unplaced, *, at: datetime) -> None:
    """Put a kept event into the group of what it names that is still unknown."""
    with transaction.atomic():
        groups = _groups(kept.app_id, [unplaced], at=at)
        KeptEvent.objects.filter(pk=kept.pk, state=State.OPEN).update(
            group=groups[unplaced.field, _text(unplaced.value)]
        )


def note_trouble(kept: KeptEvent, message: str) -> None:
    """Say on a kept event why it could not be counted."""
    KeptEvent.objects.filter(pk=kept.pk, state=State.OPEN).update(trouble=message[:300])


def end_overlooked(*, at: datetime) -> int:
    """End kept events whose id is counted by now, whoever counted it; returns how many.

    What is recorded ends them itself; only the very first event that an app keeps can be overlooked by a report that
    began before it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT app_id, event_id FROM metering_keptevent kept JOIN metering_eventkey USING (app_id, event_id) "
            "WHERE kept.state = 'open' LIMIT %s",
            [MOST_OPEN],
        )
        found: dict[int, list[str]] = defaultdict(list)
        for app_id, event_id in cursor.fetchall():
            found[app_id].append(event_id)
    with transaction.atomic():
        update([], found, at=at)
    return sum(map(len, found.values()))


def purge(*, at: datetime) -> int:
    """Delete what came more than 400 days ago; what was still open is counted as not kept. Returns how many."""
    old = KeptEvent.objects.filter(received_at__lt=at - LONGEST)
    deleted = 0
    for app_id in list(old.order_by("app").values_list("app", flat=True).distinct()):
        with transaction.atomic():
            inbox = Inbox.objects.select_for_update().get(pk=app_id)
            open_events = old.filter(app=app_id, state=State.OPEN).count()
            deleted += old.filter(app=app_id).delete()[0]
            Inbox.objects.filter(pk=app_id).update(
                open_events=inbox.open_events - open_events, not_kept=inbox.not_kept + open_events
            )
    return deleted
