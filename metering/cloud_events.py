"""Usage that arrives as CloudEvents 1.0: the fields stand in ``data``, id and time in the envelope."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from metering.reported import Event, NotJson, Rejection, bound, decode_values, id_of, parse_json

REQUIRED = ("id", "source", "type")
PREFIX = "ce-"

_value = msgspec.json.Decoder(Any)


def decode_one(body: bytes) -> list[Event | Rejection]:
    """Read an event in structured mode. Raises NotJson."""
    return [_event(_parse(body))]


def decode_batch(body: bytes) -> list[Event | Rejection]:
    """Read a batch; what is wrong with one event is told of that one. Raises NotJson, TooLarge."""
    batch = _parse(body)
    if not isinstance(batch, list):
        raise NotJson("A CloudEvents batch is a JSON array.")
    bound(len(batch))
    return [_event(envelope) for envelope in batch]


def decode_binary(body: bytes, attributes: Mapping[str, str]) -> list[Event | Rejection]:
    """Read an event in binary mode: ``attributes`` are the ``ce-`` headers, the body is the data. Raises NotJson."""
    envelope: dict[str, Any] = {
        name.removeprefix(PREFIX): unquote(value, errors="replace") for name, value in attributes.items()
    }
    return [_event({**envelope, "data": _parse(body)})]


def _parse(body: bytes) -> Any:
    try:
        return parse_json(body, _value)
    except msgspec.ValidationError as error:
        raise NotJson(f"The body cannot be read: {error}.") from error


def _event(envelope: Any) -> Event | Rejection:
    if not isinstance(envelope, dict) or envelope.get("specversion") != "1.0":
        return Rejection("invalid_field", "specversion", "A CloudEvent has specversion 1.0.", id_of(envelope))
    missing = next((name for name in REQUIRED if not envelope.get(name)), None)
    if missing:
        message = f"A CloudEvent has the attribute {missing!r}."
        return Rejection("missing_field", missing, message, id_of(envelope))
    data = _data(envelope)
    if not isinstance(data, dict):
        message = "The fields of the event stand in data, as a JSON object."
        return Rejection("missing_field", "data", message, id_of(envelope))
    fields = {**data, "id": envelope["id"]}
    if envelope.get("time") is not None:
        fields["timestamp"] = envelope["time"]
    return decode_values([fields])[0]


def _data(envelope: dict[str, Any]) -> Any:
    """Return the data. Senders that hold it as bytes write JSON in ``data_base64`` (JSON format, 3.1.1)."""
    encoded = envelope.get("data_base64")
    if not isinstance(encoded, str):
        return envelope.get("data")
    try:
        return _parse(b64decode(encoded, validate=True))
    except (ValueError, NotJson):
        return None
