"""Turning the requests of a trace into usage events of several apps, the same ones at every replay.

An event's id is made of the trace's name and the row, its app, model and payer of the row alone; so a second replay
of the same trace over the same apps reports duplicates and changes nothing. Only the times move: they do not count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec

from marketplace.gateway.replay.traces import TracedRequest

# Usage may be reported up to 35 days back; the rest is room for a replay that takes its time.
LONGEST = timedelta(days=34)


@dataclass(frozen=True)
class ReplayedApp:
    """An app that the trace is spread over: its slug, its key, the model it uses, and who pays for every second row."""

    slug: str
    key: str
    model: str
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one app that go in one request: as encoded, with their ids; due so long after the first event."""

    app: ReplayedApp
    ids: tuple[str, ...]
    lines: tuple[bytes, ...]
    after: timedelta


def event_id(trace: str, row: int) -> str:
    """Return the id of a row's event."""
    return f"replay-{trace}-{row:08d}"[-128:]


def app_of(row: int, apps: Sequence[ReplayedApp]) -> ReplayedApp:
    """Return the app a row belongs to: scattered, but the same every time."""
    digest = blake2b(row.to_bytes(8, "big"), digest_size=8).digest()
    return apps[int.from_bytes(digest, "big") % len(apps)]


def moved(
    requests: Sequence[TracedRequest], *, first_at: datetime | None, last_at: datetime
) -> Iterator[datetime]:
    """Give each request its new time: from ``first_at`` on, else so that the last one comes at ``last_at``.

    A trace longer than what may be reported is squeezed into that.
    """
    length = max(request.after for request in requests)
    divisor = max(1, -(-length // LONGEST))
    begin = first_at or last_at - length / divisor
    for request in requests:
        yield begin + request.after / divisor


def batches(
    requests: Sequence[TracedRequest],
    times: Sequence[datetime],
    *,
    trace: str,
    apps: Sequence[ReplayedApp],
    size: int,
    longest_wait: timedelta | None = None,
) -> Iterator[Batch]:
    """Group events by app into batches of at most ``size``, in the order in which they fill up.

    With ``longest_wait`` a batch also ends when its first event has waited so long for the others.
    """
    open_batches: dict[str, list[tuple[datetime, str, bytes]]] = {app.slug: [] for app in apps}
    by_slug = {app.slug: app for app in apps}
    begin = times[0]
    for request, at in zip(requests, times, strict=True):
        if longest_wait is not None:
            yield from _overdue(open_batches, by_slug, before=at - longest_wait, begin=begin)
        app = app_of(request.row, apps)
        identity = event_id(trace, request.row)
        waiting = open_batches[app.slug]
        waiting.append((at, identity, encode(request, app, identity=identity, at=at)))
        if len(waiting) >= size:
            yield _batch(app, waiting, begin)
            waiting.clear()
    for slug, waiting in open_batches.items():
        if waiting:
            yield _batch(by_slug[slug], waiting, begin)


def encode(request: TracedRequest, app: ReplayedApp, *, identity: str, at: datetime) -> bytes:
    """Write one event as POST /meter takes it."""
    event: dict[str, object] = {
        "id": identity,
        "app_id": app.slug,
        "model": app.model,
        "input_tokens": request.input_tokens,
        "output_tokens": request.output_tokens,
        "timestamp": at.astimezone(UTC).isoformat(timespec="milliseconds"),
    }
    if app.subscription and request.row % 2:
        event["subscription"] = app.subscription
    return msgspec.json.encode(event)


def _overdue(
    open_batches: dict[str, list[tuple[datetime, str, bytes]]],
    by_slug: dict[str, ReplayedApp],
    *,
    before: datetime,
    begin: datetime,
) -> Iterator[Batch]:
    for slug, waiting in open_batches.items():
        if waiting and waiting[0][0] < before:
            yield _batch(by_slug[slug], waiting, begin)
            waiting.clear()


def _batch(app: ReplayedApp, waiting: list[tuple[datetime, str, bytes]], begin: datetime) -> Batch:
    return Batch(
        app,
        ids=tuple(identity for _, identity, _ in waiting),
        lines=tuple(line for _, _, line in waiting),
        after=waiting[-1][0] - begin,
    )
