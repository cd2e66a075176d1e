"""A usage event: its id, made once, and its line of JSON, written once; every retry sends the same bytes."""

import json
import operator
import os
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """An event as the app's thread hands it over: id, nanoseconds since 1970, and the fields that were given."""

    event_id: str
    at_ns: int
    fields: dict[str, Any]


def new_id(at_ns: int) -> str:
    """Make an RFC 9562 version 7 UUID: 48 bits of milliseconds, 74 random bits."""
    # From the kernel, not from `random`: forked processes would go on with the same numbers.
    noise = os.urandom(10).hex()
    when = f"{at_ns // 1_000_000:012x}"
    return f"{when[:8]}-{when[8:]}-7{noise[:3]}-{'89ab'[int(noise[3], 16) & 3]}{noise[4:7]}-{noise[7:19]}"


def new_entry(fields: dict[str, Any]) -> Entry:
    """Give an event its id and its time."""
    at_ns = time.time_ns()
    return Entry(new_id(at_ns), at_ns, fields)


def encode(entry: Entry, *, always: dict[str, Any]) -> bytes:
    """Write an event as one line. Raises ValueError or TypeError for what has no JSON, such as NaN."""
    event = {"id": entry.event_id, **always, "timestamp": _time(entry.at_ns), **entry.fields}
    return _encoder.encode(event).encode() + b"\n"


def _time(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _plain(value: Any) -> Any:
    """Write whole numbers of other libraries as numbers, and anything else (Decimal, UUID) as text."""
    try:
        return operator.index(value)
    except TypeError:
        return value.isoformat() if isinstance(value, datetime) else str(value)


_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_plain
)
