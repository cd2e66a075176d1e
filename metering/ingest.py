"""Recording usage: every event once, rated, rolled up and on disk before anybody is told so.

``record`` is the whole of it for one batch. Callers that count the same usage against limits in the same transaction
use its two halves: ``prepare`` (prices, dimensions; nothing is written but dimension rows) and ``insert``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from django.db import connection, transaction

from marketplace.core.epochs import read_epochs
from marketplace.core.json import encode
from metering import attribution, periods
from metering.attribution import Dimensions
from metering.ratecards import PriceBook, price_book
from metering.rating import ATTO, Quantities, Rated, rate


class ReceiptStatus(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Usage:
    """One event to record: what was used, when, by whom. ``who`` has every dimension but the model's row id."""

    event_id: str
    occurred_at: datetime
    who: Dimensions
    model: str
    quantities: Quantities
    latency_ms: int | None = None
    provider_cost: Decimal | None = None
    is_estimated: bool = False
    tags: dict[str, str] | None = None
    content_hash: bytes = b""


@dataclass(slots=True)
class Prepared:
    """A usage event with its price and its attribution row, ready to insert."""

    usage: Usage
    rated: Rated
    currency: str
    attribution_id: int
    content_hash: bytes
    status: ReceiptStatus = ReceiptStatus.ACCEPTED


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer for one event: what became of it and, when accepted, what it costs."""

    event_id: str
    status: ReceiptStatus
    rated: Rated
    currency: str


@dataclass(slots=True)
class Batch:
    """What ``prepare`` hands to ``insert``."""

    items: list[Prepared] = field(default_factory=list)


def content_hash(usage: Usage) -> bytes:
    """Hash everything an event says but its id and its time: equal content under one id is a duplicate.

    A report carries the hash of what its sender wrote; for usage of our own calls it is made from the facts.
    """
    if usage.content_hash:
        return usage.content_hash
    used = usage.quantities
    text = (
        f"{usage.who.app_id}|{usage.who.subscription_id}|{usage.who.environment}|{usage.model}|"
        f"{usage.who.instance_type}|{usage.who.feature}|{used.requests}|{used.input_tokens}|{used.output_tokens}|"
        f"{used.cached_input_tokens}|{used.cache_write_tokens}|{used.reasoning_tokens}|{used.duration_ms}|"
        f"{usage.latency_ms}|{usage.provider_cost}|{sorted(usage.tags.items()) if usage.tags else ''}"
    )
    return blake2b(text.encode(), digest_size=16).digest()


def rate_usage(usage: Usage, book: PriceBook) -> tuple[Rated, str, int | None]:
    """Rate one event with the prices in force when it occurred.

    Returns the rated cost, its currency and the model's row id. Raises UnknownPrice.
    """
    prices = book.token_prices(usage.model, usage.occurred_at) if usage.model else None
    instance_type = usage.who.instance_type
    instance = book.instance_price(instance_type, usage.occurred_at) if instance_type else None
    rated = rate(usage.quantities, prices, instance)
    currency = prices.currency if prices else instance.currency if instance else "USD"
    return rated, currency, book.models[usage.model].id if usage.model else None


def prepare(events: Sequence[Usage], *, epochs: dict[str, int] | None = None) -> Batch:
    """Rate a batch and find its attribution rows. Raises UnknownPrice; callers check prices while they parse."""
    book = price_book.at(read_epochs() if epochs is None else epochs)
    rated = [rate_usage(usage, book) for usage in events]
    dimensions = [
        usage.who._replace(model_id=model_id) for usage, (_, _, model_id) in zip(events, rated, strict=True)
    ]
    ids = attribution.resolve(dimensions)
    return Batch(
        [
            Prepared(usage, cost, currency, ids[key], content_hash(usage))
            for usage, (cost, currency, _), key in zip(events, rated, dimensions, strict=True)
        ]
    )


def insert(batch: Batch, *, at: datetime) -> list[Receipt]:
    """Insert a prepared batch with its roll-ups; must run inside a transaction. Returns receipts in order.

    Rows are inserted in order of (app, event id) and roll-ups in order of their key, so that processes that work at
    once wait for each other and never in a circle.
    """
    if not batch.items:
        return []
    closed = periods.lock_for_recording()
    new = _first_of_each(batch.items)
    _stage(new, at=at, closed=closed)
    known = _insert_staged()
    if known:
        _mark_known(new, known, at=at)
    _add_to_rollups(known)
    conflicts = [item for item in batch.items if item.status is ReceiptStatus.CONFLICT]
    if conflicts:
        _keep_conflicts(conflicts, at=at)
    return [Receipt(item.usage.event_id, item.status, item.rated, item.currency) for item in batch.items]


def record(events: Sequence[Usage], *, at: datetime) -> list[Receipt]:
    """Record a batch of usage in one transaction; when it returns, everything accepted is on disk.

    Returns one receipt for each event, in order. Raises UnknownPrice before anything is written.
    """
    batch = prepare(events)
    with transaction.atomic(durable=not connection.in_atomic_block):
        return insert(batch, at=at)


def _first_of_each(items: list[Prepared]) -> list[Prepared]:
    """Settle repetitions inside the batch: the first of an id stays, others are duplicates or conflicts."""
    first: dict[tuple[int, str], Prepared] = {}
    for item in items:
        key = (item.usage.who.app_id, item.usage.event_id)
        earlier = first.setdefault(key, item)
        if earlier is not item:
            same = earlier.content_hash == item.content_hash
            item.status = ReceiptStatus.DUPLICATE if same else ReceiptStatus.CONFLICT
    return [first[key] for key in sorted(first)]


STAGED_COLUMNS = (
    "seq, app_id, event_id, content_hash, occurred_at, received_at, period, attribution_id, requests, input_tokens, "
    "cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, latency_ms, cost, currency, "
    "rate_card_id, instance_rate_id, provider_cost, is_estimated, tags"
)
EVENT_COLUMNS = STAGED_COLUMNS.removeprefix("seq, ")
CREATE_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS metering_staged (
    seq int, app_id bigint, event_id text, content_hash bytea, occurred_at timestamptz, received_at timestamptz,
    period date, attribution_id bigint, requests bigint, input_tokens bigint, cached_input_tokens bigint,
    cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint, duration_ms bigint, latency_ms bigint,
    cost numeric, currency text, rate_card_id bigint, instance_rate_id bigint, provider_cost numeric,
    is_estimated boolean, tags jsonb
) ON COMMIT DELETE ROWS;
DELETE FROM metering_staged
"""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _text(value: str) -> str:
    return value.translate(_ESCAPES)


def _stage(items: list[Prepared], *, at: datetime, closed: frozenset[date]) -> None:
    """Copy the rows into the session's staging table."""
    received = at.isoformat()
    null = "\\N"
    lines = []
    for seq, item in enumerate(items):
        usage = item.usage
        used = usage.quantities
        whole, rest = divmod(item.rated.cost_atto, ATTO)
        lines.append(
            f"{seq}\t{usage.who[0]}\t{_text(usage.event_id)}\t\\\\x{item.content_hash.hex()}\t"
            f"{usage.occurred_at.isoformat()}\t{received}\t{periods.billed_in(usage.occurred_at, closed)}\t"
            f"{item.attribution_id}\t{used.requests}\t{used.input_tokens}\t{used.cached_input_tokens}\t"
            f"{used.cache_write_tokens}\t{used.output_tokens}\t{used.reasoning_tokens}\t{used.duration_ms}\t"
            f"{null if usage.latency_ms is None else usage.latency_ms}\t{whole}.{rest:018d}\t{item.currency}\t"
            f"{item.rated.rate_card_id or null}\t{item.rated.instance_rate_id or null}\t"
            f"{null if usage.provider_cost is None else usage.provider_cost}\t{'t' if usage.is_estimated else 'f'}\t"
            f"{_text(encode(usage.tags)) if usage.tags else null}\n"
        )
    with connection.cursor() as cursor:
        cursor.execute(CREATE_STAGING)
        # Django gives cursor.copy as it is; its errors must be Django's like all others.
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY metering_staged ({STAGED_COLUMNS}) FROM STDIN") as copy,
        ):
            copy.write("".join(lines))


def _insert_staged() -> set[int]:
    """Insert what is new; returns the staged numbers of events that were there before."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH inserted AS (INSERT INTO metering_usageevent ({EVENT_COLUMNS}) "  # noqa: S608
            f"SELECT {EVENT_COLUMNS} FROM metering_staged ORDER BY seq "
            "ON CONFLICT (app_id, event_id) DO NOTHING RETURNING app_id, event_id) "
            "SELECT s.seq FROM metering_staged s LEFT JOIN inserted i USING (app_id, event_id) "
            "WHERE i.event_id IS NULL"
        )
        return {seq for (seq,) in cursor.fetchall()}


def _mark_known(staged: list[Prepared], known: set[int], *, at: datetime) -> None:
    """Tell duplicates from conflicts. A new statement, so that it sees what a parallel transaction committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.seq FROM metering_staged s JOIN metering_usageevent e USING (app_id, event_id) "
            "WHERE s.seq = ANY(%s) AND e.content_hash = s.content_hash",
            [sorted(known)],
        )
        same = {seq for (seq,) in cursor.fetchall()}
    for seq in known:
        staged[seq].status = ReceiptStatus.DUPLICATE if seq in same else ReceiptStatus.CONFLICT


ROLLUP_SUMS = (
    "count(*), sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), "
    "sum(output_tokens), sum(reasoning_tokens), sum(duration_ms), coalesce(sum(latency_ms), 0), count(latency_ms), "
    "sum(cost)"
)
ROLLUP_MEASURES = (
    "events", "requests", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "duration_ms", "latency_ms", "latency_events", "cost",
)  # fmt: skip
ROLLUP_KEY = "date_trunc('hour', occurred_at, 'UTC'), attribution_id, period"


def _add_to_rollups(known: set[int]) -> None:
    """Add the new events to their hourly sums."""
    added = ", ".join(f"{name} = metering_usagerollup.{name} + excluded.{name}" for name in ROLLUP_MEASURES)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO metering_usagerollup (hour, attribution_id, period, {', '.join(ROLLUP_MEASURES)}, currency) "  # noqa: S608
            f"SELECT {ROLLUP_KEY}, {ROLLUP_SUMS}, min(currency) FROM metering_staged WHERE NOT seq = ANY(%s) "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 "
            f"ON CONFLICT (hour, attribution_id, period) DO UPDATE SET {added}",
            [sorted(known)],
        )


def _keep_conflicts(conflicts: list[Prepared], *, at: datetime) -> None:
    """Keep what came second, for the owner to look at; the first event stays as it is."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventconflict (app_id, event_id, received_at, body) VALUES (%s, %s, %s, %s)",
            [
                (item.usage.who.app_id, item.usage.event_id, at, encode(_as_body(item.usage)))
                for item in conflicts
            ],
        )


def _as_body(usage: Usage) -> dict[str, Any]:
    used = usage.quantities
    return {
        "id": usage.event_id,
        "timestamp": usage.occurred_at.isoformat(),
        "model": usage.model,
        "requests": used.requests,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_input_tokens": used.cached_input_tokens,
        "cache_write_tokens": used.cache_write_tokens,
        "reasoning_tokens": used.reasoning_tokens,
        "duration_ms": used.duration_ms,
        "instance_type": usage.who.instance_type,
        "feature": usage.who.feature,
    }
