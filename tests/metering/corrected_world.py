"""One event of an app, and how to correct it; prices are 0.20 and 0.60 per million tokens."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from metering import corrected, corrections, ingest
from metering.attribution import Dimensions
from metering.corrections import Change, Made
from metering.models import UsageEvent, UsageRollup
from metering.rating import Quantities
from metering.rollups import differences, differing_daily_sums, differing_days
from tests.factories import NOW
from tests.metering.conftest import make_usage

MEASURES = ("requests", "input_tokens", "output_tokens", "duration_ms", "cost", "provider_cost")


def record(who: Dimensions, event_id: str = "e1", **fields: Any) -> None:
    """Record an event of 480 input and 96 output tokens: 0.000096 + 0.0000576 = 0.0001536."""
    used = fields.pop("quantities", Quantities(input_tokens=480, output_tokens=96))
    received = fields.pop("received", fields.get("at", NOW))
    (receipt,) = ingest.record([make_usage(who, event_id, quantities=used, **fields)], at=received)
    assert receipt.status == "accepted"


def find(person: User, event_id: str = "e1", *, slug: str = "where2eat") -> UsageEvent:
    return corrected.find_event(actor_for(person), slug=slug, event_id=event_id)


def amend(
    person: User,
    event_id: str = "e1",
    *,
    reason: str = "Counted twice.",
    at: datetime = NOW,
    key: str = "",
    provider_cost: Decimal | None = None,
    **quantities: int,
) -> Made:
    return corrections.amend(
        find(person, event_id),
        change=Change(quantities, provider_cost),
        reason=reason,
        by=actor_for(person),
        at=at,
        idempotency_key=key,
    )


def void(
    person: User, event_id: str = "e1", *, reason: str = "It never was.", at: datetime = NOW, key: str = ""
) -> Made:
    return corrections.void(
        find(person, event_id), reason=reason, by=actor_for(person), at=at, idempotency_key=key
    )


def rolled_up() -> dict[str, Any]:
    """Give the sums over all roll-ups, which must be those of the events."""
    assert differences() == []
    assert differing_daily_sums() == []
    assert differing_days() == []
    rows = list(UsageRollup.objects.all())
    return {name: sum(getattr(row, name) for row in rows) for name in MEASURES}
