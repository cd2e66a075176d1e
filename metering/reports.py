"""Usage that an app reports itself: checking each event alone, telling what is wrong with which field."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from marketplace.core.errors import InvalidInput
from marketplace.core.ids import uuid7
from metering import route_tags
from metering.ingest import Usage
from metering.origins import (
    FindCostCenter,
    FindPayer,
    Nowhere,
    Origin,
    Origins,
    Owners,
    Rejected,
    Reporter,
    find_origin,
    rejection_for,
)
from metering.ratecards import PriceBook
from metering.rating import Quantities, Rated
from metering.reported import Event, Rejection

MAX_AGE = timedelta(days=35)
MAX_AHEAD = timedelta(minutes=5)
MAX_TAGS = 20
CORRECTION_PREFIX = "correction:"


class KeptAs(StrEnum):
    """What became of an unplaced event."""

    KEPT = "kept"
    COUNTED_BEFORE = "counted_before"
    FULL = "full"


@dataclass(slots=True)
class Unplaced:
    """An event that is right but for the name that we do not know.

    ``usage`` is what it would be without that name. ``kept_as`` is said by the transaction that keeps it.
    """

    event: Event
    usage: Usage
    code: str
    field: str
    value: str
    key_id: UUID | None
    environment: str
    rated: Rated
    currency: str
    kept_as: KeptAs | None = None


@dataclass(slots=True)
class Reading:
    """What came of reading a report: per event its usage or its rejection, in order.

    ``made_ids`` are the numbers of events whose sender gave none; ``unplaced`` are those of the rejected ones that
    somebody can still attribute.
    """

    usages: list[Usage | None]
    rejections: dict[int, Rejection]
    ids: list[str]
    made_ids: set[int]
    unplaced: dict[int, Unplaced] = field(default_factory=dict)

    def take(self, index: int, found: Usage | Rejection, event_id: str) -> None:
        """Note what came of the next event."""
        self.ids.append(event_id)
        if isinstance(found, Rejection):
            self.rejections[index] = found
            self.usages.append(None)
        else:
            self.usages.append(found)


def check(
    events: Sequence[Event | Rejection],
    *,
    reporter: Reporter,
    book: PriceBook,
    at: datetime,
    find_payer: FindPayer,
    find_cost_center: FindCostCenter,
    origins: "Origins | None" = None,
) -> Reading:
    """Check every event alone and turn it into usage; what is wrong with one never touches the others.

    ``origins`` is what earlier reports of this reporter looked up in the same book; this one's is added.
    """
    reading = Reading([], {}, [], set())
    origins = {} if origins is None else origins
    owners = Owners(reporter, at) if reporter.owners else None
    for index, event in enumerate(events):
        if isinstance(event, Rejection):
            reading.take(index, event, event.event_id)
            continue
        event_id = event.id or ""
        if not event_id:
            event_id = str(uuid7())
            reading.made_ids.add(index)
        if owners is not None:
            reporter, origins = owners.at(event.timestamp)
        said = (
            event.app_id, event.owner, event.environment, event.model, event.instance_type, event.subscription,
            event.cost_center, event.feature,
        )  # fmt: skip
        origin = origins.get(said)
        if origin is None:
            origin = origins[said] = find_origin(
                event,
                said,
                reporter=reporter,
                book=book,
                find_payer=find_payer,
                find_cost_center=find_cost_center,
            )
        if isinstance(origin, Nowhere):
            reading.take(index, origin.rejection, event_id)
            found = _unplaced(event, event_id, nowhere=origin, reporter=reporter, at=at)
            if found is not None:
                reading.unplaced[index] = found
            continue
        reading.take(index, _usage_or_rejection(event, event_id, origin=origin, at=at), event_id)
    return reading


def _usage_or_rejection(
    event: Event, event_id: str, *, origin: Origin | Rejection, at: datetime
) -> Usage | Rejection:
    if isinstance(origin, Rejection):
        return origin
    try:
        return _usage(event, event_id, origin=origin, at=at)
    except InvalidInput as error:
        return rejection_for(error)


def _unplaced(
    event: Event, event_id: str, *, nowhere: Nowhere, reporter: Reporter, at: datetime
) -> Unplaced | None:
    """Read an event as if it did not name what we do not know; None when something else is wrong with it as well."""
    try:
        usage = _usage(event, event_id, origin=nowhere.origin, at=at)
        rated, currency = nowhere.origin.tariff.rate(usage.quantities, usage.occurred_at)
    except InvalidInput:
        return None
    return Unplaced(
        event,
        usage,
        nowhere.rejection.code,
        nowhere.rejection.field,
        nowhere.value,
        reporter.key_id,
        reporter.environment,
        rated,
        currency,
    )


def _usage(event: Event, event_id: str, *, origin: Origin, at: datetime) -> Usage:
    if "\x00" in event_id:
        raise Rejected("invalid_field", "id", "A text may not contain the character NUL.")
    if event_id.startswith(CORRECTION_PREFIX):
        raise Rejected(
            "invalid_field", "id", f"Ids that start with {CORRECTION_PREFIX!r} are those of corrections."
        )
    occurred_at = at if event.timestamp is None else _occurred_at(event.timestamp, at)
    quantities = _quantities(event)
    if not origin.model and quantities.total_tokens:
        raise Rejected("missing_field", "model", "Tokens have a price only with their model.")
    price = next((one for one in origin.tariff.find(occurred_at) if one is not None), None)
    return Usage(
        event_id,
        occurred_at,
        origin.who,
        origin.model,
        quantities,
        event.latency_ms,
        None
        if event.provider_cost is None
        else _provider_cost(event.provider_cost, event.currency, rated_in=price.currency if price else None),
        False,
        _tags(event.tags) if event.tags else None,
        content_hash(event, quantities, said=origin.said),
    )


def content_hash(event: Event, used: Quantities, *, said: str) -> bytes:
    """Hash what the sender wrote, all but the id and the time. ``said`` is its names (``Origin.said``)."""
    text = (
        f"{said}|{used.input_tokens}|{used.output_tokens}|{used.cached_input_tokens}|{used.cache_write_tokens}|"
        f"{used.reasoning_tokens}|{used.requests}|{used.duration_ms}|{event.latency_ms}"
    )
    if event.provider_cost is not None or event.currency is not None or event.tags:
        text += f"|{event.provider_cost!r}|{event.currency}|{sorted((event.tags or {}).items())}"
    return blake2b(text.encode(), digest_size=16).digest()


def _occurred_at(timestamp: datetime, at: datetime) -> datetime:
    if timestamp.tzinfo is None:
        raise Rejected(
            "invalid_field", "timestamp", "A timestamp needs a time zone, e.g. 2026-11-01T10:00:00Z."
        )
    if not at - MAX_AGE <= timestamp <= at + MAX_AHEAD:
        raise Rejected(
            "timestamp_out_of_range", "timestamp", "A timestamp may lie 35 days back and 5 minutes ahead."
        )
    return timestamp.astimezone(UTC)


def _quantities(event: Event) -> Quantities:
    if event.tokens is not None and (event.input_tokens is not None or event.output_tokens):
        raise Rejected("invalid_field", "tokens", "Give tokens alone, or input_tokens and output_tokens.")
    input_tokens = event.tokens if event.input_tokens is None else event.input_tokens
    input_tokens = input_tokens or 0
    if event.cached_input_tokens + event.cache_write_tokens > input_tokens:
        raise Rejected(
            "invalid_field",
            "cached_input_tokens",
            "Cached and cache-write tokens are parts of the input tokens.",
        )
    if event.reasoning_tokens > event.output_tokens:
        raise Rejected("invalid_field", "reasoning_tokens", "Reasoning tokens are part of the output tokens.")
    return Quantities(
        event.requests,
        input_tokens,
        event.output_tokens,
        event.cached_input_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
        event.duration_ms,
    )


def _provider_cost(text: str, currency: str | None, *, rated_in: str | None) -> Decimal:
    if currency is None:
        raise Rejected("missing_field", "currency", "A provider cost needs its currency.")
    if rated_in is not None and currency != rated_in:
        message = f"A provider cost stands beside ours, so it must be in {rated_in}."
        raise Rejected("currency_mismatch", "currency", message)
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Rejected("invalid_field", "provider_cost", 'Write an amount such as "0.0042".') from error
    if not amount.is_finite() or amount < 0 or amount.adjusted() > 15:
        raise Rejected("invalid_field", "provider_cost", "The amount must be finite and not negative.")
    if _decimals(amount) > 18:
        raise Rejected("invalid_field", "provider_cost", "An amount may have 18 decimals.")
    return amount


def _decimals(amount: Decimal) -> int:
    """Count the decimals of an amount; zeros at its end are none."""
    _, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    return -exponent - (len(digits) - len(significant)) if significant else 0


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise Rejected("too_many_tags", "tags", f"An event may have {MAX_TAGS} tags.")
    if any(len(name) > 80 or not name or "\x00" in name + value for name, value in tags.items()):
        raise Rejected("invalid_field", "tags", "A tag's name has 1 to 80 characters, none of them NUL.")
    if any(name.startswith(route_tags.PREFIX) for name in tags):
        raise Rejected("invalid_field", "tags", f"Names that begin with {route_tags.PREFIX} are ours.")
    return tags
