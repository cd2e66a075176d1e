"""POST /meter: usage that an app reports itself."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from marketplace.core.money import to_text
from marketplace.gateway import books
from marketplace.gateway.books import Report, Stale
from marketplace.gateway.directory import Directory
from marketplace.gateway.http import INLINE_BYTES, Request, Send, UnsupportedType, respond_json
from marketplace.gateway.pipeline import Gateway, Moving
from metering import cloud_events, ingest, reported, reports
from metering.ingest import ACCEPTED, CONFLICT, DUPLICATE, Draft, Receipt, ReceiptStatus
from metering.origins import Reporter
from metering.ratecards import PriceBook
from metering.reported import Event, Rejection
from metering.reports import KeptAs, Reading

LOOKUPS = 5
# More are read in a thread: the loop has other calls to answer meanwhile.
INLINE_EVENTS = 200
JSON_TYPES = frozenset({"application/json", "text/json", ""})
NDJSON_TYPES = frozenset({"application/x-ndjson", "application/jsonl", "application/ndjson"})
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENT_BATCH = "application/cloudevents-batch+json"
TYPES = JSON_TYPES | NDJSON_TYPES | {CLOUDEVENT, CLOUDEVENT_BATCH}
TAKEN = ("application/json", "application/x-ndjson", CLOUDEVENT, CLOUDEVENT_BATCH)


async def meter(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /meter"""
    await gateway.find(request.key, kind="app")
    content_type = request.content_type
    if content_type not in TYPES:
        raise UnsupportedType(content_type, taken=TAKEN)
    attributes = request.headers_under(cloud_events.PREFIX) if request.header(b"ce-specversion") else {}
    body = await request.body(limit=reported.MAX_BYTES)
    if len(body) <= INLINE_BYTES:
        events = decode(body, content_type, attributes)
    else:
        events = await gateway.in_turn(partial(decode, body, content_type, attributes))
    reading, receipts = await record(gateway, request.key, events)
    is_full = bool(request.query) and parse_qs(request.query.decode("latin-1")).get("receipts") == ["all"]
    status, answer = answer_of(reading, receipts, is_full=is_full)
    await respond_json(send, status, answer)


def decode(body: bytes, content_type: str, attributes: dict[str, str]) -> list[Event | Rejection]:
    """Decode a report in any of its formats. ``attributes`` are those of a CloudEvent in binary mode."""
    if content_type == CLOUDEVENT:
        return cloud_events.decode_one(body)
    if content_type == CLOUDEVENT_BATCH:
        return cloud_events.decode_batch(body)
    if attributes and content_type in JSON_TYPES:
        return cloud_events.decode_binary(body, attributes)
    return reported.decode(body, is_ndjson=content_type in NDJSON_TYPES)


async def record(
    gateway: Gateway, key: str, events: list[Event | Rejection]
) -> tuple[Reading, dict[int, Receipt]]:
    """Check, record and count a report; returns what was read and a receipt for each event that was taken."""
    for _ in range(LOOKUPS):
        reporter = await gateway.find(key, kind="app")
        assert isinstance(reporter, Reporter)
        book = (await gateway.offers(reporter.epoch)).prices
        await _load_names(gateway, reporter, events)
        directory = gateway.directory
        read = partial(_read, events, reporter=reporter, book=book, at=books.now(), directory=directory)
        reading, draft = await gateway.in_turn(read) if len(events) > INLINE_EVENTS else read()
        if not draft.items and not reading.unplaced:
            return reading, {}
        unplaced = list(reading.unplaced.values())
        keeping_app = reporter.app_id if reporter.keeps else None
        answer = await gateway.group.submit(Report(draft, unplaced, keeping_app))
        if isinstance(answer, Stale):
            directory.renew(answer.epoch)
            continue
        assert isinstance(answer, list)
        _tell_what_is_kept(reading, owner=reporter.owner_name)
        indexes = (index for index, usage in enumerate(reading.usages) if usage is not None)
        return reading, dict(zip(indexes, answer, strict=True))
    raise Moving


def _tell_what_is_kept(reading: Reading, *, owner: str) -> None:
    """Add to the rejections whether they are kept, now that this is on disk."""
    words = {
        KeptAs.KEPT: f"It is kept in the inbox of {owner}.",
        KeptAs.COUNTED_BEFORE: "An event of this id is counted already.",
        KeptAs.FULL: f"The inbox of {owner} is full; it is not kept.",
    }
    for index, one in reading.unplaced.items():
        rejection = reading.rejections[index]
        if one.kept_as is not None:
            said = f"{rejection.message} {words[one.kept_as]}"
            reading.rejections[index] = replace(rejection, message=said)


def _read(
    events: list[Event | Rejection],
    *,
    reporter: Reporter,
    book: PriceBook,
    at: datetime,
    directory: Directory,
) -> tuple[Reading, Draft]:
    """Check a report and do what can be done of its recording before its transaction."""
    reading = reports.check(
        events,
        reporter=reporter,
        book=book,
        at=at,
        find_payer=lambda text: directory.payer(reporter.app_id, text),
        find_cost_center=directory.cost_center,
        origins=directory.origins(reporter),
    )
    usages = [usage for usage in reading.usages if usage is not None]
    return reading, ingest.draft(usages, book=book, epoch=reporter.epoch)


async def _load_names(gateway: Gateway, reporter: Reporter, events: list[Event | Rejection]) -> None:
    """Look up the subscriptions and cost centers that the events name."""
    subscriptions = {e.subscription for e in events if isinstance(e, Event) and e.subscription}
    if subscriptions:
        await gateway.read(lambda: gateway.directory.load_payers(reporter.app_id, subscriptions))
    # PostgreSQL has no NUL in texts, so no cost center has one either.
    codes = {
        e.cost_center
        for e in events
        if isinstance(e, Event) and e.cost_center and "\x00" not in e.cost_center
    }
    if codes:
        payers = [gateway.directory.payer(reporter.app_id, text) for text in subscriptions]
        organizations = {reporter.organization_id, *(p.organization_id for p in payers if p)}
        await gateway.read(lambda: gateway.directory.load_cost_centers(organizations, codes))


def answer_of(reading: Reading, receipts: dict[int, Receipt], *, is_full: bool) -> tuple[int, dict[str, Any]]:
    """Build status and body: counts, and a line for each event that was not accepted, or that was given its id here
    (or for all)."""
    counts = dict.fromkeys(ReceiptStatus, 0)
    results: list[dict[str, Any]] = []
    for index, event_id in enumerate(reading.ids):
        rejection = reading.rejections.get(index)
        if rejection is not None:
            error = {"code": rejection.code, "field": rejection.field, "message": rejection.message}
            results.append({"index": index, "id": event_id, "status": "rejected", "error": error})
            continue
        receipt = receipts[index]
        counts[receipt.status] += 1
        if is_full or receipt.status is not ACCEPTED or index in reading.made_ids:
            results.append(_line(index, receipt))
    answer = {
        "accepted": counts[ACCEPTED],
        "duplicates": counts[DUPLICATE],
        "conflicts": counts[CONFLICT],
        "rejected": len(reading.rejections),
        "results": results,
    }
    return (207 if answer["rejected"] or answer["conflicts"] else 200), answer


def _line(index: int, receipt: Receipt) -> dict[str, Any]:
    line: dict[str, Any] = {"index": index, "id": receipt.event_id, "status": str(receipt.status)}
    if receipt.status is ACCEPTED:
        line |= {"cost": to_text(receipt.rated.cost), "currency": receipt.currency}
    elif receipt.status is CONFLICT:
        message = "This id was used with other content; the first event stays."
        line["error"] = {"code": "conflict", "field": "id", "message": message}
    return line
