"""Writing an approved re-rating: a correction for every event that it changes, some thousand in one transaction.

How far it came is kept in the same transactions, so a killed job goes on exactly there; and an event can have one
correction of a re-rating only (constraint ``correction_once_by_rerating``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from marketplace.core.errors import Conflict
from marketplace.core.transitions import move
from metering import periods, staging
from metering.models import Rerating
from metering.reports import CORRECTION_PREFIX
from metering.reratings import rated
from metering.reratings.proposing import tell

EVENTS_AT_ONCE = 5_000
# What ``correction_rows.digest`` says in Python.
_DIGEST = "encode(substr(sha256(convert_to(event_id, 'UTF8')), 1, 16), 'hex')"
_NEXT = (
    "SELECT e.occurred_at, e.event_id FROM metering_usageevent e WHERE e.app_id = %(app)s "  # noqa: S608
    "AND (e.occurred_at, e.event_id) > (%(after)s, %(after_id)s) "
    f"AND e.occurred_at >= %(starts_at)s AND e.occurred_at < %(ends_at)s AND {rated.AFFECTED}"
    "ORDER BY e.occurred_at, e.event_id LIMIT %(count)s"
)
_EVENTS = (
    rated.AFFECTED
    + "AND e.app_id = %(app)s AND e.occurred_at >= %(first)s AND e.occurred_at <= %(last)s "
    + "AND e.event_id = ANY(%(ids)s)"
)
_RERATED = (
    "CREATE TEMP TABLE metering_rerated ON COMMIT DROP AS SELECT r.*, m.period, "  # noqa: S608
    f"%(prefix)s || {_DIGEST} AS correction_id FROM ({{rated}}) r "
    "JOIN unnest(%(months)s::date[], %(periods)s::date[]) AS m(month, period) "
    "ON m.month = date_trunc('month', r.occurred_at AT TIME ZONE 'UTC')::date WHERE r.new_cost <> r.old_cost"
)
_QUANTITIES = (
    "requests", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "duration_ms",
)  # fmt: skip
_COLUMNS = {
    "seq": "row_number() OVER (ORDER BY correction_id)",
    "received_at": "%(at)s",
    "event_id": "correction_id",
    "content_hash": "substr(sha256(convert_to(correction_id || ':' || new_cost - old_cost, 'UTF8')), 1, 16)",
    **dict.fromkeys(_QUANTITIES, "0"),
    "latency_ms": "NULL",
    "cost": "new_cost - old_cost",
    # Told and unchanged, so that what is compared with the provider's cost is the corrected one.
    "provider_cost": "CASE WHEN provider_cost IS NULL THEN NULL ELSE 0 END",
    "is_estimated": "FALSE",
    "tags": "NULL",
    "corrects": "event_id",
}
_STAGED = "SELECT {} FROM metering_rerated".format(  # noqa: S608
    ", ".join(_COLUMNS.get(name, name) for name in staging.COLUMNS.split(", "))
)
_KEPT = (
    "INSERT INTO metering_correction (app_id, event_id, ordinal, correction_id, kind, made_at, made_by_id, reason, "  # noqa: S608
    "idempotency_key, rerating_id, period, currency, old_cost, old_provider_cost, "
    f"new_cost, new_provider_cost, {', '.join(f'old_{name}, new_{name}' for name in _QUANTITIES)}) "
    "SELECT app_id, event_id, ordinal + 1, correction_id, 'rerate', %(at)s, NULL, '', '', %(rerating)s, "
    "period, currency, old_cost, provider_cost, new_cost, provider_cost, "
    f"{', '.join(f'{name}, {name}' for name in _QUANTITIES)} FROM metering_rerated"
)


class NotApproved(Conflict):
    """A re-rating is written once a second person has approved it, and once only."""

    code = "rerating_not_approved"

    def __init__(self, rerating: Rerating) -> None:
        super().__init__(
            f"The re-rating of {rerating.subject} is {rerating.state}, so there is nothing to write."
        )


@dataclass(frozen=True)
class _Batch:
    """Events of one app, the first and last of them in the order of time and id."""

    app_id: int
    first_at: datetime
    last_at: datetime
    ids: list[str]


def apply(
    rerating_id: int,
    *,
    at: datetime,
    events_at_once: int = EVENTS_AT_ONCE,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rerating:
    """Write a re-rating from where it stands to its end; returns it applied, also when it was before.

    Raises NotApproved, and PeriodArchived when usage was archived meanwhile: restored, it can go on.
    """
    rerating = Rerating.objects.select_related("proposed_by").get(pk=rerating_id)
    total = sum(rerating.parts.values_list("events", flat=True))
    while rerating.state != Rerating.State.APPLIED:
        rerating = apply_some(rerating_id, at=at, events_at_once=events_at_once)
        if on_progress:
            on_progress(min(rerating.applied_events, total), total)
    return rerating


def apply_some(rerating_id: int, *, at: datetime, events_at_once: int) -> Rerating:
    """Write the next events of a re-rating in one transaction, or, after the last ones, that it is applied.

    Locks its row, so that two workers take turns, then the keys of the events in order, as everybody who corrects does.
    """
    with transaction.atomic():
        closed = periods.lock_for_recording()
        rerating = Rerating.objects.select_for_update(of=("self",)).select_related(
            "proposed_by", "decided_by"
        )
        row = rerating.get(pk=rerating_id)
        if row.state == Rerating.State.APPLIED:
            return row
        if row.state != Rerating.State.APPROVED or row.previewed_at is None:
            raise NotApproved(row)
        rated.require_in_table(row)
        found = rated.attributions_of(row)
        asked = rated.parameters(
            row, attributions=[pk for pk, _ in found], until=row.previewed_at, closed=closed
        )
        batch = _next(row, sorted({app_id for _, app_id in found}), asked, count=events_at_once)
        if batch is None:
            _finish(row, at=at)
            return row
        _write(row, batch, asked | {"at": at})
        return row


def _next(rerating: Rerating, apps: list[int], asked: dict[str, Any], *, count: int) -> _Batch | None:
    """Find the events that follow on the last ones that were done."""
    for app_id in apps:
        is_begun = app_id == rerating.done_app_id
        if rerating.done_app_id is not None and app_id < rerating.done_app_id:
            continue
        after = (rerating.done_at, rerating.done_event_id) if is_begun else (rerating.starts_at, "")
        with connection.cursor() as cursor:
            cursor.execute(
                _NEXT, asked | {"app": app_id, "after": after[0], "after_id": after[1], "count": count}
            )
            rows = cursor.fetchall()
        if rows:
            return _Batch(app_id, rows[0][0], rows[-1][0], [event_id for _, event_id in rows])
    return None


def _write(rerating: Rerating, batch: _Batch, asked: dict[str, Any]) -> None:
    values = asked | {
        "app": batch.app_id,
        "first": batch.first_at,
        "last": batch.last_at,
        "ids": batch.ids,
        "prefix": f"{CORRECTION_PREFIX}rerate:{rerating.pk}:",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM metering_eventkey WHERE app_id = %(app)s AND event_id = ANY(%(ids)s) "
            "ORDER BY event_id FOR UPDATE",
            values,
        )
        cursor.execute("DROP TABLE IF EXISTS metering_rerated")
        # A statement of its own: it must see what others corrected while this one waited for the keys.
        cursor.execute(_RERATED.format(rated=rated.rated(rerating, events=_EVENTS)), values)
        cursor.execute("SELECT count(*), coalesce(sum(new_cost - old_cost), 0) FROM metering_rerated")
        count, difference = cursor.fetchone()
        if count:
            staging.select(_STAGED, values)
            if staging.insert(count):
                raise Conflict(f"Events of the re-rating {rerating.pk} were corrected by it before.")
            cursor.execute(_KEPT, values)
    _remember(rerating, batch, count=count, difference=difference)


def _remember(rerating: Rerating, batch: _Batch, *, count: int, difference: Decimal) -> None:
    rerating.done_app_id, rerating.done_at = batch.app_id, batch.last_at
    rerating.done_event_id = batch.ids[-1]
    Rerating.objects.filter(pk=rerating.pk).update(
        done_app=batch.app_id,
        done_at=batch.last_at,
        done_event_id=batch.ids[-1],
        applied_events=F("applied_events") + count,
        applied_difference=F("applied_difference") + difference,
    )
    rerating.refresh_from_db(fields=["applied_events", "applied_difference"])


def _finish(rerating: Rerating, *, at: datetime) -> None:
    move(
        rerating,
        Rerating.TRANSITIONS,
        to=Rerating.State.APPLIED,
        action="metering.rerating.applied",
        at=at,
        changes={"applied_at": at},
    )
    text = f"The re-rating of {rerating.subject} is written: {rerating.applied_events:,} events."
    people = {person.pk: person for person in (rerating.proposed_by, rerating.decided_by) if person}
    tell(people.values(), rerating, text=text, at=at, key="applied")
