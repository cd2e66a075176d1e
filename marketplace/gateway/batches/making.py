"""Making a batch, taking it back, and letting one that waits go on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.transitions import move
from marketplace.gateway.batch_models import Batch, StoredFile
from marketplace.gateway.batches.validating import ENDPOINTS
from marketplace.gateway.idempotency import KeyReused

LONGEST_WINDOW = timedelta(days=7)
MOST_METADATA = 16
TASK = "gateway.work_on_batches"
_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A batch as its caller asks for it."""

    input_file_id: UUID
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None = None
    feature: str = ""


def make(
    wanted: Wanted, *, subscription_id: UUID, key_id: UUID | None, idempotency_key: str = "", at: datetime
) -> Batch:
    """Make a batch of a stored file; it is looked at, and worked on, in the background.

    A key that was used before gives the batch that was made then. Raises InvalidInput by field, NotFound for a file that
    is not the subscription's, KeyReused.
    """
    due_at = at + window(wanted.completion_window)
    _check(wanted)
    file = StoredFile.objects.filter(
        pk=wanted.input_file_id, subscription=subscription_id, expires_at__gt=at
    ).first()
    if file is None:
        raise NotFound("file", f"file-{wanted.input_file_id.hex}")
    if file.purpose != StoredFile.Purpose.BATCH:
        raise InvalidInput("input_file_id", "must be a file of purpose 'batch'")
    digest = sha256(idempotency_key.encode()).hexdigest() if idempotency_key else None
    batch = Batch(
        subscription_id=subscription_id,
        key_id=key_id,
        input_file=file,
        endpoint=wanted.endpoint,
        completion_window=wanted.completion_window,
        metadata=dict(wanted.metadata) if wanted.metadata else None,
        feature=wanted.feature,
        idempotency_key=digest,
        total_lines=0,
        run_at=at,
        created_at=at,
        due_at=due_at,
    )
    try:
        with transaction.atomic():
            batch.save(force_insert=True)
            audit.record("gateway.batch.made", subject=batch, at=at, by=None, new={"file": file.name})
            transaction.on_commit(nudge)
    except IntegrityError:
        return _made_before(batch)
    return batch


def _made_before(batch: Batch) -> Batch:
    known = Batch.objects.get(subscription=batch.subscription_id, idempotency_key=batch.idempotency_key)
    same = ("input_file_id", "endpoint", "completion_window", "metadata")
    if any(getattr(known, name) != getattr(batch, name) for name in same):
        raise KeyReused
    return known


def window(text: str) -> timedelta:
    """Read a completion window such as 24h or 3d; raises InvalidInput."""
    match = _WINDOW.fullmatch(text)
    length = timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1)) if match else LONGEST_WINDOW * 2
    if length > LONGEST_WINDOW:
        raise InvalidInput(
            "completion_window", "must be from 1h to 7d, such as 24h", limit=f"{LONGEST_WINDOW.days}d"
        )
    return length


def _check(wanted: Wanted) -> None:
    if wanted.endpoint not in ENDPOINTS:
        raise InvalidInput("endpoint", f"must be one of {', '.join(ENDPOINTS)}")
    metadata = wanted.metadata or {}
    if len(metadata) > MOST_METADATA or not all(_is_short(*pair) for pair in metadata.items()):
        raise InvalidInput(
            "metadata",
            f"may have {MOST_METADATA} texts, names of at most 64 and values of at most 512 characters",
            limit=MOST_METADATA,
        )


def _is_short(name: Any, value: Any) -> bool:
    return isinstance(value, str) and len(name) <= 64 and len(value) <= 512 and "\0" not in name + value


def cancel(batch: Batch, *, at: datetime, by: Any = None) -> None:
    """Call no more lines; what was answered is kept. Raises IllegalTransition when it has ended."""
    with transaction.atomic():
        move(
            batch,
            Batch.TRANSITIONS,
            to=Batch.State.CANCELLING,
            action="gateway.batch.canceled",
            at=at,
            by=by,
            changes={"cancelling_at": at, "run_at": at},
        )
        transaction.on_commit(nudge)


def hurry(batch: Batch, *, at: datetime, by: Any) -> None:
    """Let a batch that waits go on now, cheap hours or not, until it waits for something else."""
    with transaction.atomic():
        open_ones = Batch.objects.filter(pk=batch.pk, state__in=Batch.OPEN)
        if open_ones.update(run_at=at, wait_reason="", is_hurried=True):
            audit.record("gateway.batch.hurried", subject=batch, at=at, by=by)
            transaction.on_commit(nudge)


def nudge() -> None:
    """Tell a worker that there is a batch. A broker that is away costs nothing: the routine finds it."""
    try:
        current_app.send_task(TASK, retry=False)
    except (OperationalError, OSError):
        return
