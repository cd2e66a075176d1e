"""Work of finance that runs in the background: closing a month, proving that all totals agree."""

from datetime import datetime
from typing import Any

from marketplace.core import jobs
from marketplace.core.models import Job

CLOSE_PERIOD = "billing.close_period"
VERIFY = "billing.verify"
ENDED_BADLY = (Job.State.FAILED, Job.State.CANCELED)


def request_close(period: str, *, at: datetime, by: Any) -> Job:
    """Queue the close of a month, or return the job that already does it; after a failure a new one is queued."""
    failures = _close_jobs(period).filter(state__in=ENDED_BADLY).count()
    return jobs.enqueue(
        CLOSE_PERIOD,
        idempotency_key=f"{CLOSE_PERIOD}:{period}:{failures}",
        at=at,
        by=by,
        period=period,
        by_id=by.pk,
    )


def close_job(period: str) -> Job | None:
    """Return the newest job that closes a month."""
    return _close_jobs(period).order_by("-created_at", "-pk").first()


def _close_jobs(period: str) -> Any:
    return Job.objects.filter(idempotency_key__startswith=f"{CLOSE_PERIOD}:{period}:")


def request_verification(*, at: datetime, by: Any) -> Job:
    """Queue a comparison of all totals; while one waits or runs, that one is returned."""
    latest = verification_job()
    if latest is not None and latest.ended_at is None:
        return latest
    return jobs.enqueue(VERIFY, idempotency_key=f"{VERIFY}:{at.isoformat()}", at=at, by=by)


def verification_job() -> Job | None:
    """Return the newest comparison."""
    return Job.objects.filter(name=VERIFY).order_by("-created_at").first()


def last_verification() -> Job | None:
    """Return the newest comparison that came to an end; its result is a list of verdicts as JSON."""
    return Job.objects.filter(name=VERIFY, state=Job.State.DONE).order_by("-created_at").first()
