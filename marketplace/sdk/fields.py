"""The fields of a usage event that an app may set, by the names of the meter."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict


class About(TypedDict, total=False):
    """What a usage was for, and whose. See the README for each."""

    model: str | None
    feature: str | None
    subscription: str | None
    cost_center: str | None
    owner: str | None
    environment: str | None
    instance_type: str | None
    provider_cost: str | Decimal | None
    currency: str | None
    tags: Mapping[str, str] | None


class Fields(About, total=False):
    """What was used, for what, and whose. Cached and cache-write tokens are parts of input, reasoning of output."""

    tokens: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    requests: int | None
    duration_ms: int | None
    latency_ms: int | None
    timestamp: datetime | None


ABOUT = About.__annotations__.keys()
ALL = Fields.__annotations__.keys() | ABOUT


def given(fields: Mapping[str, Any], *, known: frozenset[str]) -> dict[str, Any]:
    """Return the fields that have a value. Raises TypeError for a name that the meter does not know."""
    if not fields.keys() <= known:
        names = ", ".join(sorted(fields.keys() - known))
        raise TypeError(f"a usage event has no field {names}; it has {', '.join(sorted(known))}")
    chosen = {name: value for name, value in fields.items() if value is not None}
    if "tags" in chosen:
        # The app may change its mapping before it is written.
        chosen["tags"] = {str(name): str(value) for name, value in chosen["tags"].items()}
    if "timestamp" in chosen:
        chosen["timestamp"] = _text(chosen["timestamp"])
    return chosen


def _text(at: datetime | str) -> str:
    """Write a time with its zone; one without is taken as local, as `datetime.astimezone` does."""
    return at if isinstance(at, str) else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
