"""The event that holds the difference of a correction: its id, its columns, inserting it as every event is inserted."""

from hashlib import sha256
from typing import Any

from marketplace.core.errors import Conflict
from marketplace.core.json import encode
from marketplace.core.money import exact
from metering import staging
from metering.corrected import QUANTITIES, difference, quantities_of
from metering.models import Correction, UsageEvent
from metering.reports import CORRECTION_PREFIX


def id_for(event_id: str, *, ordinal: int) -> str:
    """Return the event id of a correction; made of a digest, since the event's own id may leave no room for more."""
    return f"{CORRECTION_PREFIX}{digest(event_id)}:{ordinal}"


def digest(event_id: str) -> str:
    """Return the short form of an event's id; ``reratings.applying`` writes the same in SQL."""
    return sha256(event_id.encode()).hexdigest()[:32]


def insert(correction: Correction, event: UsageEvent) -> None:
    """Insert the row with the difference, and its sums, as every event is inserted."""
    values = _columns(correction, event)
    row = ", ".join(["%s"] * len(values))
    order = [name.strip() for name in staging.COLUMNS.split(",")]
    staging.select(f"VALUES ({row})", [values[name] for name in order])
    if staging.insert(1):
        raise Conflict(f"There is an event {correction.correction_id!r} already.")


def _columns(correction: Correction, event: UsageEvent) -> dict[str, Any]:
    with exact():
        cost = correction.new_cost - correction.old_cost
        told = None
        if correction.new_provider_cost is not None and correction.old_provider_cost is not None:
            told = correction.new_provider_cost - correction.old_provider_cost
    added = difference(quantities_of(correction, "old_"), quantities_of(correction, "new_"))
    return {
        "seq": 0,
        "app_id": event.app_id,
        "event_id": correction.correction_id,
        "content_hash": bytes.fromhex(digest(encode([correction.correction_id, str(cost)]))),
        "occurred_at": event.occurred_at,
        "received_at": correction.made_at,
        "period": correction.period,
        "attribution_id": event.attribution_id,
        **{name: getattr(added, name) for name in QUANTITIES},
        "latency_ms": None,
        "cost": cost,
        "currency": event.currency,
        "rate_card_id": event.rate_card_id,
        "instance_rate_id": event.instance_rate_id,
        "provider_cost": told,
        "is_estimated": False,
        "tags": None,
        "corrects": event.event_id,
    }
