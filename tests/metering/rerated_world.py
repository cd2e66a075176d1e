"""A price that was wrong, and rating anew what it rated: 0.20 and 0.60 per million tokens should have been twice that."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import actor_for
from metering.models import Rerating
from metering.reratings import applying, previewing, proposing
from tests.conftest import Cast
from tests.factories import NOW

FROM = datetime.fromisoformat("2026-11-01T00:00:00+00:00")
DOUBLE = {
    "input_per_mtok": Decimal("0.40"),
    "cached_input_per_mtok": Decimal("0.04"),
    "cache_write_per_mtok": Decimal("0.40"),
    "output_per_mtok": Decimal("1.20"),
    "reasoning_per_mtok": Decimal("1.20"),
}
LATER = NOW + timedelta(hours=1)


def unsaved(**fields: Any) -> Rerating:
    values: dict[str, Any] = {
        "kind": "model",
        "subject": "llm-8b",
        "starts_at": FROM,
        "ends_at": NOW + timedelta(minutes=1),
        "currency": "USD",
        "reason": "The list was read in the wrong column.",
    }
    if not {"price_per_hour", "rate_card"} & fields.keys():
        values |= DOUBLE
    return Rerating(**values | fields)


def propose(cast: Cast, *, at: datetime = LATER, **fields: Any) -> Rerating:
    """Propose, and let the job work out what would change."""
    made = proposing.propose(unsaved(**fields), by=actor_for(cast.operator), at=at)
    previewing.work_out(made.pk, at=at)
    made.refresh_from_db()
    return made


def approve(cast: Cast, rerating: Rerating, *, at: datetime = LATER) -> Rerating:
    proposing.approve(rerating, by=actor_for(cast.finance), at=at)
    return rerating


def rerate(cast: Cast, *, at: datetime = LATER, events_at_once: int = 1_000, **fields: Any) -> Rerating:
    """Propose, approve and write."""
    made = approve(cast, propose(cast, at=at, **fields), at=at)
    return applying.apply(made.pk, at=at, events_at_once=events_at_once)
