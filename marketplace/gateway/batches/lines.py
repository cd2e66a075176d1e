"""What becomes of the lines of a batch. Each write names the attempt that makes it: a worker that lost its batch to
another one writes nothing more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from django.db import connection, transaction
from django.db.models import F, QuerySet

from marketplace.core.errors import Conflict
from marketplace.gateway.batch_models import Batch, BatchLine

State = BatchLine.State
NO_BYTES = b""


class LineLost(Conflict):
    """Another worker has taken the line over, or the batch was canceled: what came back is not charged."""

    code = "line_lost"

    def __init__(self) -> None:
        super().__init__("This line of the batch is no longer worked on here.")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call came to, and what it would have come to by itself."""

    cost: Decimal = Decimal(0)
    list_cost: Decimal = Decimal(0)
    currency: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a line has no answer that counts; ``body`` is what its caller would have been told."""

    code: str
    message: str
    status: int | None = None
    body: bytes | None = None


def call_id(line: BatchLine) -> UUID:
    """Return the id of the line's call: of its hold, its event and its answer."""
    return uuid5(line.batch_id, f"{line.number}:{line.attempt}")


def begin(batch: Batch, *, most: int, at: datetime) -> list[BatchLine]:
    """Take the next lines, as long as the batch is this worker's and goes on."""
    with transaction.atomic():
        mine = Batch.objects.select_for_update().filter(
            pk=batch.pk, turn=batch.turn, state=Batch.State.IN_PROGRESS
        )
        if not mine.first():
            return []
        waiting = BatchLine.objects.filter(batch=batch, state=State.WAITING).order_by("number")
        numbers = list(waiting.values_list("number", flat=True)[:most])
        chosen = BatchLine.objects.filter(batch=batch, number__in=numbers)
        chosen.update(state=State.RUNNING, attempt=F("attempt") + 1, begun_at=at)
    return list(chosen.order_by("number"))


def keep(line: BatchLine, *, body: bytes, status: int, used: Mapping[str, Any]) -> None:
    """Keep what came back, before it is settled. Raises LineLost."""
    if not _mine(line).update(answer=body, status=status, used=dict(used)):
        raise LineLost


def end(line: BatchLine, came_to: Cost, *, at: datetime) -> None:
    """End a line that was answered and paid for."""
    _mine(line).exclude(used=None).update(state=State.DONE, ended_at=at, used=None, **_columns(came_to))


def fail(line: BatchLine, failure: Failure, *, at: datetime, came_to: Cost = Cost()) -> None:
    """End a line that brought no answer."""
    _mine(line).update(
        state=State.FAILED,
        ended_at=at,
        used=None,
        status=failure.status,
        answer=failure.body,
        error_code=failure.code,
        error_message=failure.message,
        **_columns(came_to),
    )


def put_back(line: BatchLine, *, was_held: bool) -> None:
    """Let a line wait again. One that was never held gets its id back."""
    attempt = line.attempt if was_held else line.attempt - 1
    _mine(line).update(
        state=State.WAITING, used=None, answer=None, status=None, begun_at=None, attempt=attempt
    )


def skip_waiting(batch: Batch, *, code: str, message: str, at: datetime) -> int:
    """End every line that was not called; returns how many there were."""
    waiting = BatchLine.objects.filter(batch=batch, state=State.WAITING)
    return waiting.update(state=State.SKIPPED, ended_at=at, error_code=code, error_message=message)


def left_running(batch: Batch) -> Sequence[BatchLine]:
    """Return the lines that a worker began and did not end."""
    return list(BatchLine.objects.filter(batch=batch, state=State.RUNNING).order_by("number"))


def _mine(line: BatchLine) -> QuerySet[BatchLine]:
    return BatchLine.objects.filter(
        batch=line.batch_id, number=line.number, state=State.RUNNING, attempt=line.attempt
    )


def _columns(came_to: Cost) -> dict[str, Any]:
    return {
        "cost": came_to.cost,
        "list_cost": came_to.list_cost,
        "currency": came_to.currency,
        "model": came_to.model,
        "input_tokens": came_to.input_tokens,
        "output_tokens": came_to.output_tokens,
    }


def count(batch: Batch) -> None:
    """Write on the batch what its lines come to so far; they are what counts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE gateway_batch b SET done_lines = s.done, failed_lines = s.failed, cost = s.cost, "
            "list_cost = s.list_cost, currency = s.currency, input_tokens = s.input, output_tokens = s.output "
            "FROM (SELECT count(*) FILTER (WHERE state = %s) AS done, "
            "count(*) FILTER (WHERE state = ANY(%s)) AS failed, coalesce(sum(cost), 0) AS cost, "
            "coalesce(sum(list_cost), 0) AS list_cost, coalesce(max(currency), '') AS currency, "
            "coalesce(sum(input_tokens), 0) AS input, coalesce(sum(output_tokens), 0) AS output "
            "FROM gateway_batchline WHERE batch_id = %s) s WHERE b.id = %s",
            [State.DONE, [State.FAILED, State.SKIPPED], batch.pk, batch.pk],
        )
