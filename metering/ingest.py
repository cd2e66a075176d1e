"""Recording usage: every event once, rated, rolled up and on disk before anybody is told so.

``record`` is the whole of it for one batch. Callers that count the same usage against limits in the same transaction
use its parts: ``draft`` (prices and text, no query: done while other transactions run), ``place`` (dimensions; nothing
is written but their rows) and ``insert``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec
from django.db import connection, transaction

from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.json import encode
from marketplace.core.money import to_text
from metering import attribution, periods, staging
from metering.attribution import Dimensions
from metering.ratecards import PriceBook, Tariff, currency_of, price_book
from metering.rating import ATTO, InstancePrice, Quantities, Rated, TokenPrices, rate


class ReceiptStatus(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


# Looking a member up in its class takes longer than comparing it; this is done several times for every event.
ACCEPTED, DUPLICATE, CONFLICT = ReceiptStatus


class Usage(msgspec.Struct, frozen=True, gc=False):
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
    is_batch: bool = False
    """Whether it was a call of a batch, which has prices of its own."""


class Prepared(msgspec.Struct, gc=False):
    """A usage event with its price and its attribution row, ready to insert.

    ``text`` is what of its line for COPY is known when it is drafted.
    """

    usage: Usage
    rated: Rated
    currency: str
    attribution_id: int
    content_hash: bytes
    text: str
    status: ReceiptStatus = ACCEPTED


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The answer for one event: what became of it and, when accepted, what it costs."""

    event_id: str
    status: ReceiptStatus
    rated: Rated
    currency: str


@dataclass(slots=True)
class Batch:
    """What ``place`` hands to ``insert``."""

    items: list[Prepared] = field(default_factory=list)


def content_hash(usage: Usage) -> bytes:
    """Hash everything an event says but its id and its time: equal content under one id is a duplicate.

    A report carries the hash of what its sender wrote; for usage of our own calls it is made from the facts.
    """
    used = usage.quantities
    text = (
        f"{usage.who.app_id}|{usage.who.subscription_id}|{usage.who.environment}|{usage.model}|"
        f"{usage.who.instance_type}|{usage.who.feature}|{used.requests}|{used.input_tokens}|{used.output_tokens}|"
        f"{used.cached_input_tokens}|{used.cache_write_tokens}|{used.reasoning_tokens}|{used.duration_ms}|"
        f"{usage.latency_ms}|{usage.provider_cost}|{sorted(usage.tags.items()) if usage.tags else ''}"
    )
    return blake2b(text.encode(), digest_size=16).digest()


def named(who: Dimensions, tariff: Tariff) -> Dimensions:
    """Return dimensions with the model that usage is rated and counted as."""
    model_asked = tariff.model_asked or who.model_asked
    if (who.model_id, who.model_asked) == (tariff.model_id, model_asked):
        return who
    return who._replace(model_id=tariff.model_id, model_asked=model_asked)


def rate_usage(usage: Usage, book: PriceBook) -> tuple[Rated, str, int | None]:
    """Rate one event: its cost, its currency and the model's row id. Raises UnknownPrice."""
    tariff = book.tariff(usage.model, usage.who.instance_type, is_batch=usage.is_batch)
    return *tariff.rate(usage.quantities, usage.occurred_at), tariff.model_id


class _Source:
    """What the events of one batch that share dimensions and model have in common."""

    __slots__ = ("_found", "_moment", "_tariff", "dimensions", "is_batch", "items", "model", "who")

    def __init__(self, who: Dimensions, model: str, book: PriceBook, *, is_batch: bool) -> None:
        self.who = who
        self.model = model
        self.is_batch = is_batch
        self._tariff = book.tariff(model, who.instance_type, is_batch=is_batch)
        self._moment: datetime | None = None
        self._found: tuple[TokenPrices | None, InstancePrice | None] = (None, None)
        self.dimensions = named(who, self._tariff)
        self.items: list[Prepared] = []

    def rate(self, quantities: Quantities, at: datetime) -> tuple[Rated, str]:
        """Rate one event: its cost and currency. Raises UnknownPrice."""
        if at is not self._moment:
            self._found = self._tariff.find(at)
            self._moment = at
        prices, instance = self._found
        return rate(quantities, prices, instance), currency_of(prices, instance)


@dataclass(slots=True)
class Draft:
    """Events rated with the prices of one epoch of the directory, without their attribution rows."""

    epoch: int
    items: list[Prepared]
    sources: list[_Source]

    @property
    def usages(self) -> list[Usage]:
        return [item.usage for item in self.items]


def draft(events: Sequence[Usage], *, book: PriceBook, epoch: int) -> Draft:
    """Rate a batch and write down what is known of it. Raises UnknownPrice; callers check prices while they parse."""
    # By identity: events of one report share their dimensions, and comparing thirteen of them for each costs more
    # than rating it. Equal ones that are not the same object only make a source more.
    sources: dict[tuple[int, str, bool], _Source] = {}
    items = []
    source, moment, occurred = None, None, ""
    for usage in events:
        if (
            source is None
            or usage.who is not source.who
            or usage.model != source.model
            or usage.is_batch is not source.is_batch
        ):
            key = (id(usage.who), usage.model, usage.is_batch)
            source = sources.get(key)
            if source is None:
                source = sources[key] = _Source(usage.who, usage.model, book, is_batch=usage.is_batch)
        if usage.occurred_at is not moment:
            moment = usage.occurred_at
            occurred = moment.isoformat()
        rated, currency = source.rate(usage.quantities, moment)
        digest = usage.content_hash or content_hash(usage)
        text = _text(usage, rated, currency, digest, occurred=occurred)
        item = Prepared(usage, rated, currency, 0, digest, text)
        items.append(item)
        source.items.append(item)
    return Draft(epoch, items, list(sources.values()))


def draft_at(events: Sequence[Usage], epochs: dict[str, int]) -> Draft:
    """Draft with the prices of epochs that were just read. Raises UnknownPrice."""
    return draft(events, book=price_book.at(epochs), epoch=epochs.get(DIRECTORY, 0))


def place(drafts: Sequence[Draft], *, epochs: dict[str, int]) -> Batch:
    """Find the attribution rows of drafts, and rate again what was rated under another epoch. Raises UnknownPrice."""
    epoch = epochs.get(DIRECTORY, 0)
    current = [one if one.epoch == epoch else draft_at(one.usages, epochs) for one in drafts]
    sources = [source for one in current for source in one.sources]
    ids = attribution.resolve(source.dimensions for source in sources)
    for source in sources:
        attribution_id = ids[source.dimensions]
        for item in source.items:
            item.attribution_id = attribution_id
            # A draft whose transaction was rolled back is placed again.
            item.status = ACCEPTED
    return Batch([item for one in current for item in one.items])


def insert(batch: Batch, *, at: datetime) -> list[Receipt]:
    """Insert a prepared batch with its roll-ups; must run inside a transaction. Returns receipts in order.

    Rows are inserted in order of (app, event id) and roll-ups in order of their key, so that processes that work at
    once wait for each other and never in a circle.
    """
    if not batch.items:
        return []
    closed = periods.lock_for_recording()
    new = _first_of_each(batch.items)
    for seq, is_same in staging.store(list(_lines(new, at=at, closed=closed))).items():
        new[seq].status = DUPLICATE if is_same else CONFLICT
    conflicts = [item for item in batch.items if item.status is CONFLICT]
    if conflicts:
        _keep_conflicts(conflicts, at=at)
    return [Receipt(item.usage.event_id, item.status, item.rated, item.currency) for item in batch.items]


def record(events: Sequence[Usage], *, at: datetime) -> list[Receipt]:
    """Record a batch of usage in one transaction; when it returns, everything accepted is on disk.

    Returns one receipt for each event, in order. Raises UnknownPrice before anything is written.
    """
    epochs = read_epochs()
    batch = place([draft_at(events, epochs)], epochs=epochs)
    with transaction.atomic(durable=not connection.in_atomic_block):
        return insert(batch, at=at)


def _first_of_each(items: list[Prepared]) -> list[Prepared]:
    """Settle repetitions inside the batch: the first of an id stays, others are duplicates or conflicts."""
    first: dict[int, dict[str, Prepared]] = {}
    app_id, of_app = None, {}
    for item in items:
        usage = item.usage
        if usage.who.app_id != app_id:
            app_id = usage.who.app_id
            of_app = first.setdefault(app_id, {})
        earlier = of_app.setdefault(usage.event_id, item)
        if earlier is not item:
            same = earlier.content_hash == item.content_hash
            item.status = DUPLICATE if same else CONFLICT
    return [by_id[event_id] for _, by_id in sorted(first.items()) for event_id in sorted(by_id)]


def _lines(items: list[Prepared], *, at: datetime, closed: frozenset[date]) -> Iterator[str]:
    """Write each event as a line of COPY, in the order of ``staging.COLUMNS``."""
    received = at.isoformat()
    periods_by_month: dict[tuple[int, int], date] = {}
    moment, attribution_id, decided = None, 0, ""
    for seq, item in enumerate(items):
        if item.usage.occurred_at is not moment or item.attribution_id != attribution_id:
            moment, attribution_id = item.usage.occurred_at, item.attribution_id
            month = (moment.year, moment.month)
            if month not in periods_by_month:
                periods_by_month[month] = periods.billed_in(moment, closed)
            decided = f"{received}\t{periods_by_month[month]}\t{attribution_id}"
        yield f"{seq}\t{decided}\t{item.text}"


def _text(usage: Usage, rated: Rated, currency: str, digest: bytes, *, occurred: str) -> str:
    """Write the columns of an event that neither its transaction nor its neighbors decide."""
    used = usage.quantities
    null = staging.NULL
    whole, rest = divmod(rated.cost_atto, ATTO)
    return (
        f"{usage.who[0]}\t{staging.text(usage.event_id)}\t\\\\x{digest.hex()}\t{occurred}\t"
        f"{used.requests}\t{used.input_tokens}\t{used.cached_input_tokens}\t{used.cache_write_tokens}\t"
        f"{used.output_tokens}\t{used.reasoning_tokens}\t{used.duration_ms}\t"
        f"{null if usage.latency_ms is None else usage.latency_ms}\t{whole}.{rest:018d}\t{currency}\t"
        f"{rated.rate_card_id or null}\t{rated.instance_rate_id or null}\t"
        f"{null if usage.provider_cost is None else usage.provider_cost}\t{'t' if usage.is_estimated else 'f'}\t"
        f"{staging.text(encode(usage.tags)) if usage.tags else null}\t{null}\n"
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
        "environment": usage.who.environment,
        "subscription": str(usage.who.subscription_id or ""),
        "model": usage.model,
        "requests": used.requests,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_input_tokens": used.cached_input_tokens,
        "cache_write_tokens": used.cache_write_tokens,
        "reasoning_tokens": used.reasoning_tokens,
        "duration_ms": used.duration_ms,
        "latency_ms": usage.latency_ms,
        "instance_type": usage.who.instance_type,
        "feature": usage.who.feature,
        "provider_cost": None if usage.provider_cost is None else to_text(usage.provider_cost),
        "tags": usage.tags,
    }
