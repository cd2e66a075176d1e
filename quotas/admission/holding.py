"""Holds as rows: written for calls that were admitted, and read again when their process died."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from marketplace.core import prepared
from marketplace.core.json import encode
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas.admission.deciding import Decision
from quotas.admission.words import Admitted, HoldRequest, Refused

_INSERT = (
    "INSERT INTO quotas_hold (id, state, app_id, subscription_id, counter_ids, amounts, usage, "
    "counted_output_tokens, created_at, expires_at) SELECT id, 'held', app_id, subscription_id, counter_ids, amounts, usage, "
    "0, %s, expires_at FROM json_to_recordset(%s::json) AS h (id uuid, app_id bigint, subscription_id uuid, "
    "counter_ids bigint[], amounts numeric[], usage jsonb, expires_at timestamptz)"
)


def insert_holds(holds: Sequence[HoldRequest], decided: Sequence[Decision], *, at: datetime) -> None:
    """Write down the calls that were admitted, in one statement."""
    rows = [
        _row(request, decision.answer, decision)
        for request, decision in zip(holds, decided, strict=True)
        if not isinstance(decision.answer, Refused)
    ]
    if rows:
        prepared.run(_INSERT, [at, encode(rows)])


def _row(request: HoldRequest, answer: Admitted, decision: Decision) -> dict[str, Any]:
    usage = _as_admitted(request, answer)
    return {
        "id": request.id,
        "app_id": usage.who.app_id,
        "subscription_id": usage.who.subscription_id,
        "counter_ids": [counter.id for counter, _ in decision.held],
        "amounts": [format(amount, "f") for _, amount in decision.held],
        "usage": usage_to_json(usage),
        "expires_at": request.expires_at,
    }


def _as_admitted(request: HoldRequest, answer: Admitted) -> Usage:
    """Return what is booked should the call's process die: usage of the model that is called first."""
    model = request.alternatives[answer.choice - 1].model if answer.choice else ""
    return replace(request.usage, model=model) if model else request.usage


def usage_to_json(usage: Usage) -> dict[str, Any]:
    """Return what a hold keeps of its call, so that anybody can book it later."""
    used = usage.quantities
    batch = {"is_batch": True} if usage.is_batch else {}
    return batch | {
        "who": [str(value) if isinstance(value, UUID) else value for value in usage.who],
        "occurred_at": usage.occurred_at.isoformat(),
        "model": usage.model,
        "input_tokens": used.input_tokens,
    }


def usage_from_json(hold_id: UUID, kept: dict[str, Any], *, output_tokens: int) -> Usage:
    """Rebuild the usage of a hold whose process died: the counted input and output, marked as an estimate."""
    who = Dimensions(*kept["who"])
    who = who._replace(
        subscription_id=who.subscription_id and UUID(str(who.subscription_id)),
        key_id=who.key_id and UUID(str(who.key_id)),
    )
    return Usage(
        event_id=str(hold_id),
        occurred_at=datetime.fromisoformat(kept["occurred_at"]),
        who=who,
        model=kept["model"],
        quantities=Quantities(input_tokens=kept["input_tokens"], output_tokens=output_tokens),
        is_estimated=True,
        is_batch=kept.get("is_batch", False),
    )
