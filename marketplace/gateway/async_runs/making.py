"""Asking for a run that is made in the background, taking it back, and asking for it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction

from marketplace.core import jobs
from marketplace.core.ids import uuid7
from marketplace.core.models import Job
from marketplace.core.transitions import move
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.idempotency import KeyReused

JOB = "gateway.run_app"
PURGED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as somebody asks for it: by key, or a person on a page."""

    subscription_id: UUID
    data: Mapping[str, Any]
    key_id: UUID | None = None
    person: Any = None
    feature: str = ""
    again_of: AsyncRun | None = None


def ask(asked: Asked, *, idempotency_key: str = "", keep_days: int, at: datetime) -> AsyncRun:
    """Queue a run; a key that was used before gives the run that was asked for then. Raises KeyReused.

    The input is one that the app takes; whoever calls has made sure of that.
    """
    name = idempotency_key or str(uuid7())
    with transaction.atomic():
        job = jobs.enqueue(
            JOB,
            idempotency_key=f"run:{asked.subscription_id}:{sha256(name.encode()).hexdigest()}",
            at=at,
            by=asked.person,
        )
        run, is_new = AsyncRun.objects.get_or_create(
            pk=job.pk,
            defaults={
                "subscription_id": asked.subscription_id,
                "key_id": asked.key_id,
                "person": asked.person,
                "again_of": asked.again_of,
                "feature": asked.feature,
                "data": dict(asked.data),
                "created_at": at,
                "expires_at": at + timedelta(days=keep_days),
            },
        )
    if not is_new and (run.data != asked.data or run.feature != asked.feature):
        raise KeyReused
    return run


def again(run: AsyncRun, *, by: Any, keep_days: int, at: datetime) -> AsyncRun:
    """Ask once more for what a run was given."""
    asked = Asked(run.subscription_id, run.data, person=by, feature=run.feature, again_of=run)
    return ask(asked, keep_days=keep_days, at=at)


def cancel(run: AsyncRun, *, at: datetime, by: Any = None) -> None:
    """Take a run back. One that is being made is not charged, unless its answer has come. Raises IllegalTransition."""
    with transaction.atomic():
        move(
            run,
            AsyncRun.TRANSITIONS,
            to=AsyncRun.State.CANCELED,
            action="gateway.async_run.canceled",
            at=at,
            by=by,
            changes={"ended_at": at},
        )
        job = Job.objects.filter(pk=run.pk).first()
        if job is not None:
            jobs.cancel(job, at=at, by=by)


def purge(*, at: datetime) -> int:
    """Forget runs that expired; their usage stays. Returns how many."""
    expired = AsyncRun.objects.filter(expires_at__lte=at).exclude(state__in=AsyncRun.OPEN).order_by("pk")
    ids = list(expired.values_list("pk", flat=True)[:PURGED_AT_ONCE])
    AsyncRun.objects.filter(pk__in=ids).delete()
    return len(ids)
