"""Money back to the card or account it came from, out of what a payer has in their favor.

A credit note of a paid invoice, and what was paid too much, become the payer's balance; from there it can be used for
the next invoice, or go back as said here.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, Sum

from billing import balances, settling
from billing.ledger import chart
from billing.models import CreditNote, PaymentAttempt, PaymentRefund
from billing.payments import background
from billing.payments.attempts import KEYS_ARE_SURE_FOR, LONGEST
from billing.payments.processor import Processor, ProcessorRefused
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.transitions import IllegalTransition, move

State = PaymentRefund.State
GONE = (State.FAILED, State.CANCELED)
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

    def __init__(self, what: object) -> None:
        super().__init__(
            f"Nothing of {what} can go back: the payer has no balance, or nothing of it came by card or debit."
        )


def refundable_minor(attempt: PaymentAttempt) -> int:
    """Return what can go back of a payment: what has not, as far as its payer's balance has it."""
    if attempt.state != PaymentAttempt.State.SUCCEEDED:
        return 0
    left_minor = attempt.amount_minor - _sum(attempt.refunds.exclude(state__in=GONE))
    return max(min(left_minor, balances.balance_of(attempt.invoice.organization_id, attempt.currency)), 0)


def open_credit_minor(note: CreditNote) -> int:
    """Return what of a credit note has not gone back, as far as the payer's balance has it."""
    left_minor = note.total_minor - _sum(note.refunds.exclude(state__in=GONE))
    return max(min(left_minor, balances.balance_of(note.invoice.organization_id, note.invoice.currency)), 0)


def _sum(refunds: QuerySet[PaymentRefund]) -> int:
    return int(refunds.aggregate(total=Sum("amount_minor", default=0))["total"])


def refund_credit(note: CreditNote, *, by: Actor, at: datetime) -> list[PaymentRefund]:
    """Give back what an issued credit note left in a payer's favor, to where it came from, the newest payment first.

    Taken from the payer's balance at once; a job asks the processor. Locks the invoice, then the balance. Raises
    NotAllowed for who is not the marketplace's finance, NothingToRefund.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        invoice = settling.locked(note.invoice)
        balances.locked_balance(invoice.organization_id, invoice.currency)
        left_minor = open_credit_minor(note) if note.state == CreditNote.State.ISSUED else 0
        made = []
        paid = invoice.payment_attempts.filter(state=PaymentAttempt.State.SUCCEEDED)
        for attempt in paid.select_related("invoice__organization").order_by("-created_at"):
            part_minor = min(left_minor, refundable_minor(attempt))
            if part_minor > 0:
                made.append(_create(attempt, part_minor, note=note, by=by, at=at))
                left_minor -= part_minor
        if not made:
            raise NothingToRefund(note)
    return made


def refund(attempt: PaymentAttempt, *, amount_minor: int, by: Actor, at: datetime) -> PaymentRefund:
    """Give a part of the payer's balance back to the card or account of one payment, such as what was paid twice.

    Locks the invoice, then the balance. Raises NotAllowed, InvalidInput, NothingToRefund.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        invoice = settling.locked(attempt.invoice)
        balances.locked_balance(invoice.organization_id, attempt.currency)
        most = refundable_minor(attempt)
        if not most:
            raise NothingToRefund(attempt.invoice)
        if not 0 < amount_minor <= most:
            limit = format_money(most, attempt.currency)
            raise InvalidInput("amount", f"must be more than zero and at most {limit}", limit=most)
        return _create(attempt, amount_minor, note=None, by=by, at=at)


def _create(
    attempt: PaymentAttempt, amount_minor: int, *, note: CreditNote | None, by: Actor, at: datetime
) -> PaymentRefund:
    refund = PaymentRefund.objects.create(
        attempt=attempt,
        invoice=attempt.invoice,
        credit_note=note,
        amount_minor=amount_minor,
        created_by=by.user,
        created_at=at,
    )
    balances.pay_back(
        attempt.invoice.organization,
        amount_minor=amount_minor,
        currency=attempt.currency,
        reference=reference_of(refund),
        by=by,
        at=at,
        money=chart.PROCESSOR_BALANCE,
    )
    background.queue_refund(refund, at=at, by=by.user)
    return refund


def reference_of(refund: PaymentRefund) -> str:
    """Name a refund as the payer's balance does."""
    return f"refund {refund.pk}"


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
    """Note down what the processor says of a refund; forward only."""
    to = OF_STATUS[found["status"]]
    changes = {
        "refund_id": found["id"],
        "failure": str(found.get("failure_reason") or "").replace("_", " ")[:LONGEST],
        "ended_at": None if to == State.PENDING else at,
    }
    if to != refund.state:
        _move(refund, to, at=at, changes=changes)
    return refund


def _move(refund: PaymentRefund, to: str, *, at: datetime, changes: dict[str, Any]) -> None:
    """Move a refund; what did not go back is the payer's balance again."""
    try:
        with transaction.atomic():
            move(
                refund,
                PaymentRefund.TRANSITIONS,
                to=to,
                action=f"billing.payment_refund.{to}",
                at=at,
                changes=changes,
            )
            if to in GONE:
                balances.keep(
                    refund.invoice.organization_id,
                    amount_minor=refund.amount_minor,
                    currency=refund.attempt.currency,
                    reference=reference_of(refund),
                    received_date=at.date(),
                    at=at,
                    money=chart.PROCESSOR_BALANCE,
                )
    except IllegalTransition:
        refund.refresh_from_db()


def refund_of(refund_id: str, metadata: dict[str, Any]) -> PaymentRefund | None:
    """Find a refund, also when the answer of its call got lost."""
    found = PaymentRefund.objects.select_related("invoice", "attempt")
    if one := found.filter(refund_id=refund_id).first():
        return one
    try:
        return found.filter(pk=UUID(str(metadata.get("refund")))).first()
    except ValueError:
        return None
