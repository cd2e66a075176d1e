"""Events as their senders write them in our own JSON: one object, an array, or NDJSON; what does not fit is rejected alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from marketplace.core.errors import InvalidInput

MAX_EVENTS = 10_000
MAX_BYTES = 8 * 1024 * 1024
MAX_ID_LENGTH = 128
MAX_TAG_LENGTH = 200
RESERVED_TAGS = "halfpenny."
"""Tags that begin so are written by us: what was saved is summed from them."""

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
TagName = Annotated[str, msgspec.Meta(pattern=r"^(?!halfpenny\.)")]


class Event(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False, omit_defaults=True):
    """An event as its sender writes it; the contract's field table."""

    app_id: Name
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    owner: Name | None = None
    environment: str | None = None
    model: Name | None = None
    tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    requests: Count = 1
    duration_ms: Count = 0
    latency_ms: Count | None = None
    instance_type: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    timestamp: datetime | None = None
    subscription: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    cost_center: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    feature: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    provider_cost: str | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    tags: dict[TagName, Annotated[str, msgspec.Meta(max_length=MAX_TAG_LENGTH)]] | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event was not taken: a stable code, the field, and a sentence."""

    code: str
    field: str
    message: str
    event_id: str = ""


class NotJson(InvalidInput):
    """The body as a whole cannot be read."""

    code = "invalid_json"

    def __init__(self, message: str) -> None:
        super().__init__("", message)


class TooLarge(InvalidInput):
    """The body has more events or bytes than one request may have."""

    code = "too_large"


T = TypeVar("T")

_events = msgspec.json.Decoder(list[Event])
_raw_events = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(Event)
_anything = msgspec.json.Decoder(Any)


def parse_json(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode JSON. Raises NotJson for what is none, and msgspec.ValidationError for JSON of another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"The body is not JSON: {error}") from error
    except RecursionError as error:
        raise NotJson("The body is nested too deeply.") from error


def split(body: bytes, *, is_ndjson: bool = False) -> list[bytes] | bytes:
    """Split a body into its events: one object, an array, or NDJSON. An array is returned as it is."""
    if is_ndjson:
        lines = [line for line in body.split(b"\n") if line.strip()]
        bound(len(lines))
        return lines
    stripped = body.lstrip()
    if not stripped:
        raise NotJson("The body is empty.")
    return stripped if stripped[:1] == b"[" else [stripped]


def decode(body: bytes, *, is_ndjson: bool = False) -> list[Event | Rejection]:
    """Decode a body; events that do not fit the contract become rejections, one for each, in order.

    Raises NotJson when the body is not JSON, TooLarge when it has too many events.
    """
    parts = split(body, is_ndjson=is_ndjson)
    if isinstance(parts, bytes):
        try:
            events: list[Event | Rejection] = [*parse_json(parts, _events)]
        except msgspec.ValidationError:
            parts = [bytes(raw) for raw in parse_json(parts, _raw_events)]
        else:
            bound(len(events))
            return events
    bound(len(parts))
    return [_decode_one(part) for part in parts]


def bound(count: int) -> None:
    """Refuse more events than one request may have. Raises TooLarge."""
    if count > MAX_EVENTS:
        raise TooLarge("", f"A request may have {MAX_EVENTS} events.", limit=MAX_EVENTS)


def decode_values(values: Sequence[Any]) -> list[Event | Rejection]:
    """Build events out of decoded objects (CloudEvents put the fields in their ``data``)."""
    events: list[Event | Rejection] = []
    for value in values:
        try:
            events.append(msgspec.convert(value, Event))
        except msgspec.ValidationError as error:
            events.append(replace(_rejection_of(error), event_id=id_of(value)))
    return events


def id_of(value: Any) -> str:
    """Return the id that an event which cannot be taken has nevertheless, so that its sender knows which it is."""
    said = value.get("id") if isinstance(value, dict) else None
    return said[:MAX_ID_LENGTH] if isinstance(said, str) else ""


def _decode_one(part: bytes) -> Event | Rejection:
    try:
        return parse_json(part, _event)
    except msgspec.ValidationError as error:
        # The decoder stopped at the first field that does not fit; what follows may not even be JSON.
        value = parse_json(part, _anything)
        return replace(_rejection_of(error), event_id=id_of(value))


def _rejection_of(error: msgspec.ValidationError) -> Rejection:
    """Turn msgspec's words (`Expected `int` >= 0 - at `$.tokens``) into field and message."""
    text = str(error)
    message, _, path = text.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if message.startswith("Object contains unknown field"):
        name = message.rsplit("`", 2)[-2]
        return Rejection("unknown_field", name, f"There is no field {name!r} in a usage event.")
    if message.startswith("Object missing required field"):
        name = message.rsplit("`", 2)[-2]
        return Rejection("missing_field", name, f"The field {name!r} is required.")
    return Rejection("invalid_field", field, f"{message}.")
