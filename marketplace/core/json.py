"""JSON as text for columns and hot paths; amounts are strings, never floats."""

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="string")


def encode(value: Any) -> str:
    """Encode a value; Decimal, UUID and datetime become strings."""
    return _encoder.encode(value).decode()
