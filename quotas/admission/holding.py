"""Holds as rows: written for calls that were admitted, and read again when their process died."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from marketplace.core.json import encode
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import counters
from quotas.admission.chains import Chains
from quotas.admission.deciding import estimated
from quotas.admission.words import Admitted, HoldRequest, Refused


def insert_holds(
    holds: Sequence[HoldRequest],
    decided: Sequence[Admitted | Refused],
    chains: Chains,
    ids: dict[counters.Key, int],
    *,
    at: datetime,
) -> None:
    rows = []
    for request, answer, chain in zip(holds, decided, chains.of_holds, strict=True):
        if isinstance(answer, Refused):
            continue
        counter_ids = ",".join(str(ids[m.key]) for m in chain)
        amounts = ",".join(format(estimated(request, m.limit.measure), "f") for m in chain)
        who = request.usage.who
        facts = encode(usage_to_json(request.usage)).replace("\\", "\\\\")
        rows.append(
            f"{request.id}\theld\t{who.app_id}\t{who.subscription_id or chr(92) + 'N'}\t{{{counter_ids}}}\t"
            f"{{{amounts}}}\t{facts}\t0\t{at.isoformat()}\t{request.expires_at.isoformat()}\n"
        )
    if not rows:
        return
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(
            "COPY quotas_hold (id, state, app_id, subscription_id, counter_ids, amounts, usage, "
            "counted_output_tokens, created_at, expires_at) FROM STDIN"
        ) as copy,
    ):
        copy.write("".join(rows))


def usage_to_json(usage: Usage) -> dict[str, Any]:
    """Return what a hold keeps of its call, so that anybody can book it later."""
    used = usage.quantities
    return {
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
    )
