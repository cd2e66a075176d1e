"""The worker's side of closing months and comparing totals."""

from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from celery import shared_task
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from billing import (
    announcing,
    background,
    dunning,
    lifecycle,
    margin_checks,
    monthly_run,
    overdue,
    progressive,
    settling,
    wallets,
)
from billing.chargeback import statements, switching
from billing.close import close_period
from billing.closing import discrepancies
from billing.creators import routine
from billing.house import house_facts, house_terms, house_thresholds, payout_terms
from billing.ledger import differing
from billing.ledger.verify import verify
from billing.monthly_run import TurnOver
from billing.payments import tasks as _payments  # noqa: F401  registers the work of payments
from billing.payments import transfers
from billing.payments.house import has_processor, house_processor
from marketplace.accounts.models import User
from marketplace.catalog.check_runs import MARGIN_JOB
from marketplace.core import jobs, notices
from marketplace.core.models import Job

# A turn ends well before the lease of its job, and before Celery would kill its process.
TURN_S = 300


@jobs.work(background.CLOSE_PERIOD)
def close_month(*, job: Job, period: str, by_id: int | None = None) -> dict[str, Any]:
    """Close a month together with other workers and tell who asked for it; safe to run twice."""
    person = User.objects.filter(pk=by_id).first() if by_id else None
    now, ends_at = timezone.now(), monotonic() + TURN_S
    try:
        closed = close_period(
            period,
            at=now,
            terms=house_terms(),
            by=person,
            on_progress=lambda done, total: jobs.progress(job, done=done, total=total),
            tries_again=False,
            is_time_up=lambda: monotonic() > ends_at,
            on_begin=lambda run: background.request_help(
                period, run_id=run.pk, workers=settings.CLOSE_WORKERS, at=now
            ),
        )
    except TurnOver:
        background.request_next_turn(job, period=period, at=timezone.now())
        return {"goes_on": True}
    statements.publish_when_closed(period, terms=house_terms(), at=now, by=person)
    background.request_mails(period, at=now)
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


@jobs.work(background.HELP_CLOSE)
def help_close(*, job: Job, period: str) -> dict[str, bool]:
    """Share the work of a month that is being closed; safe to run twice, and after the close."""
    ends_at = monotonic() + TURN_S
    with suppress(TurnOver):
        monthly_run.help_with(
            period, at=timezone.now(), terms=house_terms(), is_time_up=lambda: monotonic() > ends_at
        )
    return {"helped": True}


@jobs.work(background.MAIL_BILLS)
def mail_bills(*, job: Job, period: str) -> dict[str, int]:
    """Tell payers of the bills of a month, each once; goes on where it stopped."""
    return {"told": announcing.announce_month(period, at=timezone.now())}


@shared_task(name="billing.tend_months", expires=3000)
def tend_months() -> None:
    """Keep the drafts of the month that waits to be closed current, and close it when its grace is over."""
    background.tend_months(at=timezone.now(), terms=house_terms())


@shared_task(name="billing.verify_daily", expires=3000)
def verify_daily() -> None:
    """Queue the comparison of all totals, once a day."""
    background.request_daily_verification(at=timezone.now())


@shared_task(name="billing.mark_overdue", expires=3000)
def mark_overdue() -> None:
    """Let invoices use what their payers have, and call those overdue whose day has passed; safe to run twice."""
    settling.use_balances(at=timezone.now())
    overdue.mark_overdue(at=timezone.now())


@shared_task(name="billing.run_dunning", expires=3000)
def run_dunning() -> None:
    """Remind customers of what is overdue, and stop or release their calls; safe to run twice."""
    dunning.run(at=timezone.now())


@shared_task(name="billing.tend_creators", expires=3000)
def tend_creators() -> None:
    """Settle months that closed for creators, make and send payouts that are due; safe to run twice and at once."""
    now = timezone.now()
    routine.tend(
        at=now,
        terms=payout_terms(),
        recipient=house_facts(at=now),
        transfer=partial(transfers.pay, processor=house_processor(), at=now) if has_processor() else None,
    )


@jobs.work(background.VERIFY)
def verify_totals(*, job: Job) -> list[dict[str, Any]]:
    """Compare all totals and tell of what differs; the result is kept on the job for the page that shows it."""
    verdicts = verify()
    found = [verdict.as_json() for verdict in verdicts]
    discrepancies.judge(found, at=timezone.now())
    differing.tell(verdicts, at=timezone.now())
    return found


@shared_task(name="billing.allocate_months", expires=3000)
def allocate_months() -> None:
    """Let switches of cost centers begin, allocate the last months and publish those that are closed; safe to run twice."""
    now = timezone.now()
    switching.begin(at=now)
    statements.allocate_recent(terms=house_terms(), at=now)


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


@shared_task(name="billing.tend_subscriptions", expires=50)
def tend_subscriptions() -> None:
    """Take planned steps, tell of trials and end them, let caps follow their plans; safe to run twice."""
    lifecycle.tend(at=timezone.now())


@shared_task(name="billing.tend_wallets", expires=3000)
def tend_wallets() -> None:
    """Let credits go whose day has come; safe to run twice."""
    wallets.expire_due(at=timezone.now())


@shared_task(name="billing.bill_progressively", expires=500)
def bill_progressively() -> None:
    """Bill what passed its threshold in the running month; safe to run twice and on many workers."""
    progressive.bill_due(at=timezone.now(), terms=house_terms())
