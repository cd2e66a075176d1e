"""What became of lines whose worker died: their holds and events tell, for they have the same ids.

A line whose answer was kept is settled with it; of one without an answer nothing is charged, and it is called again.
Nothing is sent here.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from marketplace.core.epochs import read_epochs
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import lines
from marketplace.gateway.batches.lines import Cost, Failure
from marketplace.gateway.providers.base import Completion
from metering.ingest import Usage
from metering.models import UsageEvent
from metering.ratecards import UnknownPrice, price_book
from metering.rating import Quantities, from_atto, token_cost
from quotas import admission
from quotas.admission import Settlement, usage_from_json
from quotas.models import Hold

LOST = Failure(
    "worker_lost", "Nobody ended this call in time; what is known of it was booked, and it is not made again."
)
_COUNTED = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def used_of(model: str, completion: Completion) -> dict[str, Any]:
    """Write down what an answer used, so that anybody can settle it."""
    used = completion.usage
    return {
        "model": model,
        "latency_ms": completion.latency_ms,
        "provider_cost": None if used.provider_cost is None else format(used.provider_cost, "f"),
        "is_estimated": used.is_estimated,
        **{name: getattr(used, name) for name in _COUNTED},
    }


def recover(batch: Batch, *, at: datetime) -> None:
    """End or free every line that an earlier worker left."""
    left = lines.left_running(batch)
    holds = Hold.objects.in_bulk([lines.call_id(line) for line in left])
    for line in left:
        hold = holds.get(lines.call_id(line))
        if line.used is None:
            _without_answer(batch, line, hold, at=at)
        else:
            _with_answer(batch, line, hold, at=at)


def _without_answer(batch: Batch, line: BatchLine, hold: Hold | None, *, at: datetime) -> None:
    if hold is not None and hold.state == Hold.State.HELD:
        # Should its worker live after all, what it brings is not charged any more: the first end of a hold counts.
        admission.settle([Settlement(hold.pk, None)], at=at)
        hold.refresh_from_db(fields=["state"])
    if hold is None or hold.state == Hold.State.RELEASED:
        lines.put_back(line, was_held=True)
    else:
        lines.fail(line, LOST, at=at, came_to=came_to(batch, line))


def _with_answer(batch: Batch, line: BatchLine, hold: Hold | None, *, at: datetime) -> None:
    if hold is not None and hold.state == Hold.State.HELD:
        assert line.used is not None
        admission.settle([Settlement(hold.pk, _usage(hold, line.used))], at=at)
    elif hold is None or hold.state == Hold.State.RELEASED:
        lines.put_back(line, was_held=True)
        return
    lines.end(line, came_to(batch, line), at=at)


def _usage(hold: Hold, used: dict[str, Any]) -> Usage:
    return replace(
        usage_from_json(hold.pk, hold.usage, output_tokens=0),
        model=used["model"],
        quantities=Quantities(**{name: used[name] for name in _COUNTED}),
        latency_ms=used["latency_ms"],
        provider_cost=None if used["provider_cost"] is None else Decimal(used["provider_cost"]),
        is_estimated=used["is_estimated"],
    )


def came_to(batch: Batch, line: BatchLine) -> Cost:
    """Read what a line came to from its event; nothing when there is none."""
    event = _event(batch, lines.call_id(line))
    if event is None:
        return Cost()
    model = event.attribution.model
    name = model.name if model else ""
    counted = Quantities(**{each: getattr(event, each) for each in _COUNTED})
    return Cost(
        cost=event.cost,
        list_cost=list_cost(name, counted, at=event.occurred_at) or event.cost,
        currency=event.currency,
        model=name,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
    )


def _event(batch: Batch, call_id: UUID) -> UsageEvent | None:
    found = UsageEvent.objects.select_related("attribution__model")
    return found.filter(
        app=batch.subscription.app_id, event_id=str(call_id), occurred_at__gte=batch.created_at
    ).first()


def list_cost(model: str, used: Quantities, *, at: datetime) -> Decimal | None:
    """Say what a call would have cost by itself; None when its model has no price of its own."""
    try:
        return from_atto(token_cost(used, price_book.at(read_epochs()).token_prices(model, at)))
    except UnknownPrice:
        return None
