"""Work of finance that runs in the background: closing a month, proving that all totals agree."""

from datetime import datetime
from typing import Any

from django.db import transaction

from billing import monthly_run, parking, queries
from billing.models import BillingPeriod, ParkedBill
from billing.terms import Terms
from marketplace.core import jobs
from marketplace.core.models import Job

CLOSE_PERIOD = "billing.close_period"
HELP_CLOSE = "billing.help_close"
MAIL_BILLS = "billing.mail_bills"
VERIFY = "billing.verify"


def request_close(period: str, *, at: datetime, by: Any) -> Job:
    """Queue the close of a month, or return the job that already does it; after a failure a new one is queued.

    What could not be made before is tried again.
    """
    parking.release_errors(period, at=at, by=by)
    return _enqueue_close(period, at=at, by=by)


def request_retry(one: ParkedBill, *, at: datetime, by: Any) -> Job | None:
    """Release one bill that is put aside; a month that is being closed goes on with it, in the job that is returned."""
    with transaction.atomic():
        parking.release(one, at=at, by=by)
        is_closing = one.period.state == BillingPeriod.State.CLOSING
        return _enqueue_close(one.period_id, at=at, by=by) if is_closing else None


def request_retry_all(period: str, *, at: datetime, by: Any) -> Job | None:
    """Release what could not be made; a month that is being closed goes on with it, in the job that is returned."""
    with transaction.atomic():
        parking.release_errors(period, at=at, by=by)
        is_closing = BillingPeriod.objects.filter(pk=period, state=BillingPeriod.State.CLOSING).exists()
        return _enqueue_close(period, at=at, by=by) if is_closing else None


def request_next_turn(job: Job, *, period: str, at: datetime) -> Job:
    """Queue the next turn of a close that a worker has given back."""
    return jobs.enqueue(
        CLOSE_PERIOD,
        idempotency_key=f"{CLOSE_PERIOD}:{period}:after:{job.pk}",
        at=at,
        by=job.created_by,
        period=period,
        by_id=job.created_by_id,
    )


def request_help(period: str, *, run_id: Any, workers: int, at: datetime) -> None:
    """Ask other workers to share the run of a month; who finds nothing to do ends at once."""
    for number in range(1, workers):
        jobs.enqueue(HELP_CLOSE, idempotency_key=f"{HELP_CLOSE}:{run_id}:{number}", at=at, period=period)


def tend_months(*, at: datetime, terms: Terms) -> None:
    """Keep the drafts of the oldest month that waits to be closed current; close it once its grace is over."""
    waiting = [month for month in queries.months(at=at) if month.can_close]
    if not waiting or waiting[-1].state != BillingPeriod.State.OPEN:
        return
    month = waiting[-1].month
    if terms.grace is not None and at >= month.ends_at + terms.grace:
        request_close(month.name, at=at, by=None)
    else:
        monthly_run.refresh_drafts(month.name, at=at, terms=terms)


def request_mails(period: str, *, at: datetime) -> Job:
    """Queue the mails of a month's bills, once, however often its close was started."""
    return jobs.enqueue(MAIL_BILLS, idempotency_key=f"{MAIL_BILLS}:{period}", at=at, period=period)


def _enqueue_close(period: str, *, at: datetime, by: Any) -> Job:
    ended = _close_jobs(period).exclude(ended_at=None).count()
    return jobs.enqueue(
        CLOSE_PERIOD,
        idempotency_key=f"{CLOSE_PERIOD}:{period}:{ended}",
        at=at,
        by=by,
        period=period,
        by_id=by.pk if by else None,
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


def request_daily_verification(*, at: datetime) -> Job:
    """Queue the comparison of a day, once."""
    return jobs.enqueue(VERIFY, idempotency_key=f"{VERIFY}:daily:{at:%Y-%m-%d}", at=at)


def verification_job() -> Job | None:
    """Return the newest comparison."""
    return Job.objects.filter(name=VERIFY).order_by("-created_at").first()


def last_verification() -> Job | None:
    """Return the newest comparison that came to an end; its result is a list of verdicts as JSON."""
    return Job.objects.filter(name=VERIFY, state=Job.State.DONE).order_by("-created_at").first()
