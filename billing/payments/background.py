"""Work at the payment processor that runs in the background, each queued once."""

from datetime import datetime, timedelta
from typing import Any

from billing.models import Invoice, PaymentAttempt, PaymentRefund, ProcessorEvent
from marketplace.core import jobs
from marketplace.core.models import Job

CARRY_OUT = "billing.carry_out_payment"
COLLECT = "billing.collect_invoice"
REFUND = "billing.carry_out_refund"
READ_EVENT = "billing.read_processor_event"
DELIVER_FAKE = "billing.deliver_fake_event"
ADVANCE_FAKE = "billing.advance_fake"
# Whoever waits for the page carries it out at once; the job is for when that process dies in the midst of it.
SAFETY = timedelta(seconds=45)


def queue_attempt(attempt: PaymentAttempt, *, at: datetime) -> Job:
    """Queue an attempt; one that somebody carries out on their page is looked after a little later."""
    return jobs.enqueue(
        CARRY_OUT,
        idempotency_key=f"payment-attempt:{attempt.pk}",
        at=at,
        run_at=at if attempt.is_automatic else at + SAFETY,
        attempt_id=str(attempt.pk),
    )


def queue_collection(invoice: Invoice, *, at: datetime, turn: str) -> Job:
    """Queue the automatic collection of an invoice; `turn` names the try, so that each is made once."""
    return jobs.enqueue(
        COLLECT, idempotency_key=f"collect:{invoice.pk}:{turn}", at=at, invoice_id=str(invoice.pk)
    )


def queue_refund(refund: PaymentRefund, *, at: datetime, by: Any = None) -> Job:
    """Queue a refund that was written down."""
    return jobs.enqueue(
        REFUND, idempotency_key=f"payment-refund:{refund.pk}", at=at, by=by, refund_id=str(refund.pk)
    )


def queue_event(event: ProcessorEvent, *, at: datetime) -> Job:
    """Queue the reading of an event; again after each replay."""
    return jobs.enqueue(
        READ_EVENT,
        idempotency_key=f"processor-event:{event.pk}:{event.replays}",
        at=at,
        event_id=event.pk,
    )


def announce_fake(event_id: str, at: datetime) -> None:
    """Queue the delivery of an event of the fake to our own webhook."""
    jobs.enqueue(DELIVER_FAKE, idempotency_key=f"fake-event:{event_id}", at=at, event_id=event_id)
