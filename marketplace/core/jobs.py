"""The queue of background work in PostgreSQL.

``enqueue`` writes a row and nudges a worker after the commit. A worker takes the row with a conditional UPDATE and a
lease; a sweep retakes rows whose message or worker was lost. Work is registered by name and must be idempotent.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.db.models import F, Q
from kombu.exceptions import OperationalError

from marketplace.core import audit, notices
from marketplace.core.errors import HalfpennyError, InvalidInput, Unavailable
from marketplace.core.models import Job

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=11)
WORKER_LOST = "Its worker ended or hung in the middle of it each time; the log of that moment may say why."
Work = Callable[..., Any]
_registry: dict[str, Work] = {}


def work(name: str) -> Callable[[Work], Work]:
    """Register a function as the work of jobs called ``name``; it gets ``job`` and the job's arguments."""

    def register(function: Work) -> Work:
        _registry[name] = function
        return function

    return register


def registered_names() -> frozenset[str]:
    """Return the names that jobs may have in this process."""
    return frozenset(_registry)


def enqueue(
    name: str,
    *,
    idempotency_key: str,
    at: datetime,
    by: Any = None,
    run_at: datetime | None = None,
    **arguments: Any,
) -> Job:
    """Queue work once: a second call with the same key returns the first job. Arguments are JSON values."""
    if not name:
        raise InvalidInput(field="name", message="A job needs a name.")
    job, is_new = Job.objects.get_or_create(
        idempotency_key=idempotency_key,
        defaults={
            "name": name,
            "arguments": arguments,
            "run_at": run_at or at,
            "created_at": at,
            "created_by": by,
        },
    )
    if is_new and (run_at is None or run_at <= at):
        transaction.on_commit(lambda: nudge(job.pk))
    return job


def nudge(job_id: UUID) -> None:
    """Tell a worker about a row. A broker that is away costs nothing: the sweep finds the row."""
    try:
        current_app.send_task("core.run_job", kwargs={"job_id": str(job_id)}, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("broker is away, the sweep will find job %s: %s", job_id, error)


def take(job_id: UUID, *, at: datetime) -> Job | None:
    """Take a queued job, or one whose lease ran out; None when another worker has it, or when it is given up.

    An attempt counts when it begins: work that kills its worker never comes to its end.
    """
    if _give_up(job_id, at=at):
        return None
    taken = Job.objects.filter(
        Q(state=Job.State.QUEUED, run_at__lte=at)
        | Q(state=Job.State.RUNNING, locked_until__lt=at, attempts__lt=F("max_attempts")),
        pk=job_id,
    ).update(state=Job.State.RUNNING, attempts=F("attempts") + 1, locked_until=at + LEASE, last_error="")
    return Job.objects.get(pk=job_id) if taken else None


def _give_up(job_id: UUID, *, at: datetime) -> bool:
    """Fail a job whose last attempt ended with its worker; tell whoever queued it. False when there is none such."""
    with transaction.atomic():
        is_lost = bool(
            Job.objects.filter(
                pk=job_id, state=Job.State.RUNNING, locked_until__lt=at, attempts__gte=F("max_attempts")
            ).update(state=Job.State.FAILED, last_error=WORKER_LOST, ended_at=at, locked_until=None)
        )
        if is_lost:
            job = Job.objects.get(pk=job_id)
            logger.error(
                "job %s %s is given up after %s attempts: %s", job.name, job.pk, job.attempts, WORKER_LOST
            )
            _note("core.job.given_up", job, old=Job.State.RUNNING, new=Job.State.FAILED, at=at, by=None)
            if job.created_by is not None:
                text = f"Work in the background ({job.name}) was given up: {WORKER_LOST}"
                notices.notify(
                    [job.created_by],
                    text=text,
                    at=at,
                    key=f"job-given-up:{job.pk}:{at:%Y%m%dT%H%M%S}",
                    kind=notices.Kind.OTHER,
                )
    return is_lost


def run(job_id: UUID, *, at: datetime) -> Job | None:
    """Run one job if it can be taken. Errors are kept on the row; Unavailable is tried again later."""
    job = take(job_id, at=at)
    if job is None:
        return None
    try:
        result = _registry[job.name](job=job, **job.arguments)
    except Unavailable as error:
        _retry(job, at=at, delay=timedelta(seconds=error.retry_after_s or 5), error=str(error))
    except HalfpennyError as error:
        _end(job, Job.State.FAILED, at=at, error=str(error))
    except Exception as error:  # the process edge: one broken job must not end the worker
        logger.exception("job %s %s failed", job.name, job.pk)
        _retry(job, at=at, delay=timedelta(seconds=2**job.attempts), error=f"{type(error).__name__}: {error}")
    else:
        _end(job, Job.State.DONE, at=at, result=result)
    job.refresh_from_db()
    return job


def progress(job: Job, *, done: int, total: int) -> None:
    """Show how far a running job is, and extend nothing else."""
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).update(done_steps=done, total_steps=total)


def cancel(job: Job, *, at: datetime, by: Any = None) -> bool:
    """Cancel a job that nobody has taken yet; False when it is too late."""
    with transaction.atomic():
        waiting = Job.objects.filter(pk=job.pk, state=Job.State.QUEUED)
        is_canceled = bool(waiting.update(state=Job.State.CANCELED, ended_at=at))
        if is_canceled:
            _note("core.job.canceled", job, old=Job.State.QUEUED, new=Job.State.CANCELED, at=at, by=by)
    return is_canceled


def retry(job: Job, *, at: datetime, by: Any = None) -> bool:
    """Queue a failed job once more, with all its attempts; False when it is not failed (any more).

    The idempotency key stays: what the work did before it failed is not done twice.
    """
    with transaction.atomic():
        failed = Job.objects.filter(pk=job.pk, state=Job.State.FAILED)
        is_queued = bool(failed.update(state=Job.State.QUEUED, attempts=0, run_at=at, ended_at=None))
        if is_queued:
            _note("core.job.retried", job, old=Job.State.FAILED, new=Job.State.QUEUED, at=at, by=by)
            transaction.on_commit(lambda: nudge(job.pk))
    return is_queued


def due(*, at: datetime, limit: int = 100) -> list[UUID]:
    """Return ids of jobs that should have been taken: queued and due, or running with a lease that ran out."""
    return list(
        Job.objects.filter(
            Q(state=Job.State.QUEUED, run_at__lte=at) | Q(state=Job.State.RUNNING, locked_until__lt=at)
        )
        .order_by("run_at")
        .values_list("pk", flat=True)[:limit]
    )


def _note(action: str, job: Job, *, old: str, new: str, at: datetime, by: Any) -> None:
    audit.record(action, subject=job, at=at, by=by, old={"state": old}, new={"state": new})


def _end(job: Job, state: str, *, at: datetime, result: Any = None, error: str = "") -> None:
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, attempts=job.attempts).update(
        state=state, result=result, last_error=error, ended_at=at, locked_until=None
    )


def _retry(job: Job, *, at: datetime, delay: timedelta, error: str) -> None:
    if job.attempts >= job.max_attempts:
        _end(job, Job.State.FAILED, at=at, error=error)
        return
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, attempts=job.attempts).update(
        state=Job.State.QUEUED, run_at=at + delay, last_error=error, locked_until=None
    )
