"""Calls whose answer is kept before they are settled: what is written down of them, and what it comes to.

Whoever takes over from a process that died settles what was kept, and sends nothing again.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from marketplace.core.epochs import read_epochs
from marketplace.gateway.providers.base import Completion
from metering.ingest import Usage
from metering.models import UsageEvent
from metering.ratecards import UnknownPrice, price_book
from metering.rating import Quantities, from_atto, token_cost
from quotas import admission
from quotas.admission import Settlement, usage_from_json
from quotas.models import Hold

COUNTED = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def used_of(model: str, completion: Completion) -> dict[str, Any]:
    """Write down what an answer of a model used, so that anybody can settle it."""
    used = completion.usage
    return {
        "model": model,
        "latency_ms": completion.latency_ms,
        "provider_cost": None if used.provider_cost is None else format(used.provider_cost, "f"),
        "is_estimated": used.is_estimated,
        **{name: getattr(used, name) for name in COUNTED},
    }


def used_elsewhere(usage: Usage) -> dict[str, Any]:
    """Write down what a call of an app that runs elsewhere used."""
    return {
        "model": usage.model,
        "latency_ms": usage.latency_ms,
        "provider_cost": None,
        "is_estimated": usage.is_estimated,
        **{name: getattr(usage.quantities, name) for name in COUNTED},
    }


def usage_of(hold: Hold, used: Mapping[str, Any]) -> Usage:
    """Return what a call used whose answer was kept, as it is settled."""
    told = used["provider_cost"]
    return replace(
        usage_from_json(hold.pk, hold.usage, output_tokens=0),
        model=used["model"],
        quantities=Quantities(**{name: used[name] for name in COUNTED}),
        latency_ms=used["latency_ms"],
        provider_cost=None if told is None else Decimal(told),
        is_estimated=used["is_estimated"],
    )


def end_left(call_id: UUID, used: Mapping[str, Any] | None, *, at: datetime) -> str | None:
    """End the hold that a process left, with what was kept of its answer, else without a charge; returns its state now.

    None when the call was never admitted. Should that process live after all, what it brings is not charged any more:
    the first end of a hold counts.
    """
    hold = Hold.objects.filter(pk=call_id).first()
    if hold is None:
        return None
    if hold.state == Hold.State.HELD:
        usage = None if used is None else usage_of(hold, used)
        admission.settle([Settlement(hold.pk, usage)], at=at)
        hold.refresh_from_db(fields=["state"])
    return hold.state


def is_free(state: str | None) -> bool:
    """Tell whether nothing was, and will be, charged for a call whose hold is in this state."""
    return state is None or state == Hold.State.RELEASED


def event_of(call_id: UUID, *, app_id: int, since: datetime) -> UsageEvent | None:
    """Find the event of a call that was asked for after ``since``."""
    found = UsageEvent.objects.select_related("attribution__model")
    return found.filter(app=app_id, event_id=str(call_id), occurred_at__gte=since).first()


def model_of(event: UsageEvent) -> str:
    model = event.attribution.model
    return model.name if model else ""


def list_cost(model: str, used: Quantities, *, at: datetime) -> Decimal | None:
    """Say what a call would have cost by itself; None when its model has no price of its own."""
    try:
        return from_atto(token_cost(used, price_book.at(read_epochs()).token_prices(model, at)))
    except UnknownPrice:
        return None
