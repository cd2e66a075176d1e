"""Money back to the card or account it came from: for credit notes of paid invoices, and what was paid too much."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, Sum

from billing import settling
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import CreditNote, Invoice, JournalEntry, PaymentAttempt, PaymentRefund
from billing.payments import background
from billing.payments.attempts import KEYS_ARE_SURE_FOR, LONGEST
from billing.payments.processor import Processor, ProcessorRefused
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core.errors import Conflict
from marketplace.core.transitions import IllegalTransition, move

State = PaymentRefund.State
GONE = (State.FAILED, State.CANCELED)
BOOKED = (State.PENDING, State.SUCCEEDED)
OF_STATUS = {
    "pending": State.PENDING,
    "requires_action": State.PENDING,
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "canceled": State.CANCELED,
}


class NothingToRefund(Conflict):
    """Only what a payer has in their favor, and paid by card or debit, can go back there."""

    code = "nothing_to_refund"

    def __init__(self, note: CreditNote) -> None:
        self.note = note
        super().__init__(
            f"Nothing of {note} can go back: the invoice is not paid beyond what is left of it, or not by card or debit."
        )


def refundable_minor(attempt: PaymentAttempt) -> int:
    """Return what of a payment has not gone back yet."""
    if attempt.state != PaymentAttempt.State.SUCCEEDED:
        return 0
    return attempt.amount_minor - _sum(attempt.refunds.exclude(state__in=GONE))


def open_credit_minor(note: CreditNote) -> int:
    """Return what of a credit note the payer has in their favor, and no refund is on its way for."""
    under_way = _sum(note.invoice.refunds.filter(credit_note__isnull=False, state=State.CREATED))
    in_favor = -settling.due_of(note.invoice).minor - under_way
    return max(min(note.total_minor - _sum(note.refunds.exclude(state__in=GONE)), in_favor), 0)


def _sum(refunds: QuerySet[PaymentRefund]) -> int:
    return int(refunds.aggregate(total=Sum("amount_minor", default=0))["total"])


def refund_credit(note: CreditNote, *, by: Actor, at: datetime) -> list[PaymentRefund]:
    """Give back what an issued credit note leaves in a payer's favor, to where it came from, the newest payment first.

    A job carries it out. Locks the invoice. Raises NotAllowed for who is not the marketplace's finance, NothingToRefund.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=note.invoice_id)
        left_minor = open_credit_minor(note) if note.state == CreditNote.State.ISSUED else 0
        made = []
        for attempt in invoice.payment_attempts.filter(state=PaymentAttempt.State.SUCCEEDED).order_by(
            "-created_at"
        ):
            part_minor = min(left_minor, refundable_minor(attempt))
            if part_minor > 0:
                made.append(_create(attempt, invoice, part_minor, note=note, by=by, at=at))
                left_minor -= part_minor
        if not made:
            raise NothingToRefund(note)
    return made


def refund_surplus(attempt: PaymentAttempt, *, at: datetime) -> PaymentRefund | None:
    """Give back what a payment brought beyond what was due; None when that is done. Locks the invoice."""
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=attempt.invoice_id)
        gone_minor = _sum(attempt.refunds.filter(credit_note=None).exclude(state__in=GONE))
        left_minor = min(attempt.surplus_minor - gone_minor, refundable_minor(attempt))
        return _create(attempt, invoice, left_minor, note=None, by=None, at=at) if left_minor > 0 else None


def _create(
    attempt: PaymentAttempt,
    invoice: Invoice,
    amount_minor: int,
    *,
    note: CreditNote | None,
    by: Actor | None,
    at: datetime,
) -> PaymentRefund:
    person = by.user if by else None
    refund = PaymentRefund.objects.create(
        attempt=attempt,
        invoice=invoice,
        credit_note=note,
        amount_minor=amount_minor,
        created_by=person,
        created_at=at,
    )
    background.queue_refund(refund, at=at, by=person)
    return refund


def carry_out(refund: PaymentRefund, *, processor: Processor, at: datetime) -> PaymentRefund:
    """Ask the processor to give money back, once however often this is repeated. Raises ProcessorAway."""
    if refund.state != State.CREATED:
        return refund
    try:
        found = _made_before(refund, processor=processor, at=at) or processor.write(
            "refunds.create",
            key=f"refund:{refund.pk}",
            payment_intent=str(refund.attempt.intent_id),
            amount=refund.amount_minor,
            metadata={"refund": str(refund.pk), "invoice": str(refund.invoice.number)},
        )
    except ProcessorRefused as error:
        changes = {"failure": error.message[:LONGEST], "ended_at": at}
        _move(refund, State.FAILED, at=at, changes=changes)
        return refund
    return apply(refund, found, at=at)


def _made_before(refund: PaymentRefund, *, processor: Processor, at: datetime) -> dict[str, Any] | None:
    """Find a refund whose key the processor may have forgotten."""
    if at - refund.created_at < KEYS_ARE_SURE_FOR:
        return None
    for found in processor.pages("refunds.list", payment_intent=str(refund.attempt.intent_id)):
        if found["metadata"].get("refund") == str(refund.pk):
            return found
    return None


def refresh(refund: PaymentRefund, *, processor: Processor, at: datetime) -> PaymentRefund:
    """Ask the processor how a refund stands, and note that down. Raises ProcessorAway, ProcessorRefused."""
    if refund.refund_id is None:
        return carry_out(refund, processor=processor, at=at)
    return apply(refund, processor.read("refunds.retrieve", refund.refund_id), at=at)


def apply(refund: PaymentRefund, found: dict[str, Any], *, at: datetime) -> PaymentRefund:
    """Note down what the processor says of a refund; the books take it when it leaves, and take it back when it returns."""
    to = OF_STATUS[found["status"]]
    if to == refund.state:
        return refund
    changes = {
        "refund_id": found["id"],
        "failure": str(found.get("failure_reason") or "").replace("_", " ")[:LONGEST],
        "ended_at": None if to == State.PENDING else at,
    }
    with transaction.atomic():
        # In the order of everybody who settles: the invoice first.
        Invoice.objects.select_for_update(of=("self",)).get(pk=refund.invoice_id)
        if _move(refund, to, at=at, changes=changes):
            _book(refund, at=at)
    return refund


def _book(refund: PaymentRefund, *, at: datetime) -> None:
    entry = JournalEntry.objects.filter(idempotency_key=f"payment-refund:{refund.pk}").first()
    if refund.state in BOOKED:
        journal.post(_fact(refund, at=at), at=at)
    elif entry is not None:
        journal.post(_fact(refund, at=at, corrects=entry), at=at)


def _fact(refund: PaymentRefund, *, at: datetime, corrects: JournalEntry | None = None) -> Fact:
    account = chart.RECEIVABLE if refund.credit_note_id else chart.UNAPPLIED_PAYMENTS
    amount_minor = -refund.amount_minor if corrects else refund.amount_minor
    currency, who = refund.attempt.currency, {"organization_id": refund.invoice.organization_id}
    return Fact(
        key=f"payment-refund-failed:{refund.pk}" if corrects else f"payment-refund:{refund.pk}",
        kind="billing.payment_refund",
        memo=f"Refund {refund.refund_id} for {refund.invoice}" + (" came back" if corrects else ""),
        legs=[
            Leg(account, amount_minor, currency, **who),
            Leg(chart.PROCESSOR_BALANCE, -amount_minor, currency, **who),
        ],
        period=running_month(at),
        invoice=refund.invoice,
        corrects=corrects,
    )


def _move(refund: PaymentRefund, to: str, *, at: datetime, changes: dict[str, Any]) -> bool:
    try:
        move(
            refund, PaymentRefund.TRANSITIONS, to=to, action=f"billing.payment_refund.{to}", at=at, changes=changes
        )  # fmt: skip
    except IllegalTransition:
        refund.refresh_from_db()
        return False
    return True


def refund_of(refund_id: str, metadata: dict[str, Any]) -> PaymentRefund | None:
    """Find a refund, also when the answer of its call got lost."""
    found = PaymentRefund.objects.select_related("invoice", "attempt")
    if one := found.filter(refund_id=refund_id).first():
        return one
    try:
        return found.filter(pk=UUID(str(metadata.get("refund")))).first()
    except ValueError:
        return None
