"""The end of a batch: its lines are written to files in their order, its people are told."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.urls import reverse

from marketplace.core import notices
from marketplace.core.money import to_text
from marketplace.core.transitions import move
from marketplace.gateway.batch_models import Batch, BatchLine, StoredFile
from marketplace.gateway.batches import files, lines
from marketplace.gateway.batches.files import Bounds

EXPIRED = "batch_expired"
CANCELED = "batch_cancelled"
STATES_WITH_ERRORS = (BatchLine.State.FAILED, BatchLine.State.SKIPPED)
# A report about a month may be asked for until the same month of the next year.
KEPT_FOR = timedelta(days=400)
PURGED_AT_ONCE = 20
_encoder = msgspec.json.Encoder()


def finish(batch: Batch, *, bounds: Bounds, at: datetime) -> None:
    """Write the files of a batch whose lines have all ended, and end it; all of it or nothing."""
    with transaction.atomic():
        lines.count(batch)
        output = _store(batch, (BatchLine.State.DONE,), "output", bounds=bounds, at=at)
        errors = _store(batch, STATES_WITH_ERRORS, "errors", bounds=bounds, at=at)
        batch.lines.update(body=lines.NO_BYTES, answer=None)
        to = _end_of(batch)
        move(
            batch,
            Batch.TRANSITIONS,
            to=to,
            action=f"gateway.batch.{to}",
            at=at,
            changes={
                "output_file": output,
                "error_file": errors,
                "ended_at": at,
                "locked_until": None,
                "wait_reason": "",
            },
        )
        tell(batch, at=at)


def _end_of(batch: Batch) -> str:
    if batch.state == Batch.State.CANCELLING:
        return Batch.State.CANCELLED
    return Batch.State.EXPIRED if batch.stop_code == EXPIRED else Batch.State.COMPLETED


def _store(
    batch: Batch, states: Iterable[str], what: str, *, bounds: Bounds, at: datetime
) -> StoredFile | None:
    found = batch.lines.filter(state__in=states).order_by("number")
    if not found.exists():
        return None
    return files.store(
        written(found.iterator(chunk_size=100), batch),
        subscription_id=batch.subscription_id,
        purpose=StoredFile.Purpose.BATCH_OUTPUT,
        name=f"batch_{batch.pk.hex}_{what}.jsonl",
        bounds=bounds,
        at=at,
    )


def written(found: Iterable[BatchLine], batch: Batch) -> Iterator[bytes]:
    """Write lines as OpenAI does: each with the answer to it, or with why there is none."""
    for line in found:
        yield _encoder.encode(_shape(line, batch)) + b"\n"


def _shape(line: BatchLine, batch: Batch) -> dict[str, Any]:
    response = error = None
    if line.status is not None:
        # A provider may write its answer over several lines; here each has one.
        body = msgspec.Raw(msgspec.json.format(bytes(line.answer), indent=-1)) if line.answer else None
        request_id = str(lines.call_id(line))
        response = {"status_code": line.status, "request_id": request_id, "body": body}
    else:
        error = {"code": line.error_code, "message": line.error_message}
    return {
        "id": f"batch_req_{batch.pk.hex}_{line.number}",
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }


def tell(batch: Batch, *, at: datetime) -> None:
    """Tell who made a batch, and the channels of the team, that it has ended."""
    batch.refresh_from_db(fields=["done_lines", "failed_lines", "cost", "currency"])
    subscription, made_by = batch.subscription, batch.key.created_by if batch.key else None
    counts = f"{batch.done_lines} of {batch.total_lines} calls answered"
    notices.notify(
        [made_by or subscription.created_by],
        text=f"A batch of {subscription.app.name} is {batch.get_state_display().lower()}: {counts}.",
        at=at,
        key=f"batch-ended:{batch.pk}",
        path=reverse("gateway:batch", args=[batch.pk]),
        kind=notices.Kind.WORK,
        team=subscription.team,
        facts={
            "type": "batch",
            "batch": f"batch_{batch.pk.hex}",
            "app": subscription.app.slug,
            "state": batch.state,
            "cost": to_text(batch.cost),
            "currency": batch.currency or None,
        },
    )


def purge(*, at: datetime, keep_days: int) -> int:
    """Forget the lines of batches that ended long ago, and batches after a good year; their usage stays.

    Returns how many batches lost their lines.
    """
    Batch.objects.filter(ended_at__lt=at - KEPT_FOR).delete()
    old = Batch.objects.filter(ended_at__lt=at - timedelta(days=keep_days), lines__isnull=False)
    ids = list(old.order_by("pk").values_list("pk", flat=True).distinct()[:PURGED_AT_ONCE])
    BatchLine.objects.filter(batch__in=ids).delete()
    return len(ids)
