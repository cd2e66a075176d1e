"""The worker's side of payments: each work loads its row, asks the processor, and may be done again."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing.models import ConnectedAccount, Invoice, PaymentAttempt, PaymentRefund, ProcessorEvent
from billing.payments import accounts, attempts, background, balance, collecting, events, refunds
from billing.payments.fake import delivering
from billing.payments.house import has_processor, house_processor
from billing.payments.processor import ProcessorAway
from marketplace.core import jobs
from marketplace.core.errors import Unavailable
from marketplace.core.models import Job

# What waits longer than this is asked after, in case that an event got lost.
ASK_AFTER = timedelta(minutes=10)


@jobs.work(background.CARRY_OUT)
def carry_out(*, job: Job, attempt_id: str) -> dict[str, Any]:
    """Carry out a payment that nobody waits for, or whose page died."""
    found = PaymentAttempt.objects.select_related("invoice", "customer", "method").get(pk=attempt_id)
    attempt = attempts.carry_out(found, processor=house_processor(), at=timezone.now())
    return {"state": attempt.state}


@jobs.work(background.COLLECT)
def collect(*, job: Job, invoice_id: str) -> dict[str, Any]:
    """Collect an invoice whose payer agreed to that."""
    invoice = Invoice.objects.get(pk=invoice_id)
    attempt = collecting.collect(invoice, processor=house_processor(), at=timezone.now())
    return {"state": attempt.state if attempt else "nothing to do"}


@jobs.work(background.REFUND)
def refund(*, job: Job, refund_id: str) -> dict[str, Any]:
    """Give money back."""
    found = PaymentRefund.objects.select_related("attempt", "invoice").get(pk=refund_id)
    return {"state": refunds.carry_out(found, processor=house_processor(), at=timezone.now()).state}


@jobs.work(background.READ_EVENT)
def read_event(*, job: Job, event_id: str) -> dict[str, Any]:
    """Do what an event asks for; the last attempt that fails is noted down on it."""
    event = ProcessorEvent.objects.get(pk=event_id)
    try:
        return {"state": events.read(event, processor=house_processor(), at=timezone.now()).state}
    except Unavailable as error:
        if job.attempts >= job.max_attempts:
            events.fail(event, why=error.message, at=timezone.now())
        raise


@jobs.work(background.DELIVER_FAKE)
def deliver_fake(*, job: Job, event_id: str) -> dict[str, Any]:
    """Sign an event of the fake and hand it to our own webhook."""
    return {"type": delivering.deliver(event_id, at=timezone.now())}


@jobs.work(background.ADVANCE_FAKE)
def advance_fake(*, job: Job, object_id: str) -> None:
    """Let the fake's bank answer."""
    delivering.advance(object_id)


@shared_task(name="billing.tend_payments", expires=540)
def tend_payments() -> None:
    """Ask after payments, refunds and accounts that wait, should an event have got lost; safe to run twice."""
    if not has_processor():
        return
    processor, now = house_processor(), timezone.now()
    before = now - ASK_AFTER
    try:
        for attempt in PaymentAttempt.objects.filter(
            state__in=PaymentAttempt.ACTIVE, created_at__lt=before
        ).select_related("invoice", "customer", "method")[:200]:
            attempts.carry_out(attempt, processor=processor, at=now)
        for one in PaymentRefund.objects.filter(
            state__in=("created", "pending"), created_at__lt=before
        ).select_related("attempt", "invoice")[:200]:
            refunds.refresh(one, processor=processor, at=now)
        for account in ConnectedAccount.objects.exclude(state=ConnectedAccount.State.READY).exclude(
            account_id=None
        )[:200]:
            accounts.refresh(account, processor=processor, at=now)
    except ProcessorAway:
        # The next round asks again.
        return


@shared_task(name="billing.sync_balance", expires=3000)
def sync_balance() -> None:
    """Fetch the processor's account of our money and match it with the books; safe to run twice."""
    if has_processor() and (settings.STRIPE_SECRET_KEY or settings.DEMO):
        try:
            balance.sync(processor=house_processor(), at=timezone.now())
        except ProcessorAway:
            return
