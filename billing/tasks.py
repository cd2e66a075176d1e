"""The worker's side of closing months and comparing totals."""

from typing import Any

from celery import shared_task
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from billing import background, margin_checks, overdue
from billing.close import close_period
from billing.house import house_terms, house_thresholds
from billing.ledger.verify import verify
from billing.thresholds import Thresholds
from marketplace.accounts.models import User
from marketplace.catalog.check_runs import MARGIN_JOB
from marketplace.core import jobs, notices
from marketplace.core.models import Job


@jobs.work(background.CLOSE_PERIOD)
def close_month(*, job: Job, period: str, by_id: int | None = None) -> dict[str, Any]:
    """Close a month and tell who asked for it; safe to run twice."""
    person = User.objects.filter(pk=by_id).first() if by_id else None
    now = timezone.now()
    closed = close_period(
        period,
        at=now,
        terms=house_terms(),
        by=person,
        on_progress=lambda done, total: jobs.progress(job, done=done, total=total),
    )
    notices.notify(
        [person] if person else [],
        text=f"{period} is closed: {closed.invoices} invoices and statements.",
        at=now,
        key=f"period-closed:{period}",
        path=reverse("billing:period", args=[period]),
        kind=notices.Kind.BILLING,
        is_of_platform=True,
    )
    return {"invoices": closed.invoices}


@shared_task(name="billing.mark_overdue", expires=3000)
def mark_overdue() -> None:
    """Call invoices overdue whose day has passed; safe to run twice."""
    overdue.mark_overdue(at=timezone.now())


@jobs.work(background.VERIFY)
def verify_totals(*, job: Job) -> list[dict[str, Any]]:
    """Compare all totals; the result is kept on the job for the page that shows it."""
    return [verdict.as_json() for verdict in verify()]


@jobs.work(MARGIN_JOB)
def check_sustainability(*, job: Job, check_run_id: str) -> dict[str, str]:
    """Judge what is left of an app's price; safe to run twice, for an ended check stays as it is."""
    state = margin_checks.check(
        check_run_id,
        at=timezone.now(),
        default=house_terms().default_share,
        thresholds=house_thresholds(),
    )
    return {"state": state}
