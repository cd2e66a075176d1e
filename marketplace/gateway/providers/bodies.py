"""Change single fields of a request body without taking the rest of it apart."""

from collections.abc import Mapping
from typing import Any

import msgspec

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_flags = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


def encode(body: bytes | Mapping[str, Any]) -> bytes:
    """Give the bytes of a body."""
    return body if isinstance(body, bytes) else _encoder.encode(body)


def decode(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields of a body; it must be a JSON object (msgspec.DecodeError otherwise)."""
    return _flags.decode(body) if isinstance(body, bytes) else body


def replace_fields(body: bytes, **fields: Any) -> bytes:
    """Set top-level fields of a JSON object; everything else is copied byte for byte.

    A field that occurs twice comes out once, with its last value: so a provider cannot read another
    ``max_tokens`` than the one that was admitted. Raises msgspec.DecodeError when the body is not a JSON
    object.
    """
    return _encoder.encode({**_fields.decode(body), **fields})


def ask_for_usage(body: bytes) -> tuple[bytes, bool]:
    """Make a streaming body that asks for usage; answer also whether the client had asked itself."""
    fields: dict[str, Any] = dict(_fields.decode(body))
    raw_options = fields.get("stream_options")
    options = (msgspec.json.decode(raw_options) if raw_options else None) or {}
    has_asked = isinstance(options, dict) and options.get("include_usage") is True
    if not isinstance(options, dict):
        options = {}
    fields["stream_options"] = {**options, "include_usage": True}
    fields["stream"] = True
    return _encoder.encode(fields), has_asked
