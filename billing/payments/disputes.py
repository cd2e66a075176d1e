"""Disputed payments: the money is withdrawn, evidence has a deadline, and the bank decides. Each step is booked once."""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from billing import settling
from billing.ledger import chart, journal
from billing.ledger.chart import Account
from billing.ledger.journal import Fact, Leg
from billing.models import PaymentAttempt, PaymentDispute
from billing.payments.attempts import apply as apply_payment
from billing.payments.attempts import attempt_of_intent
from billing.payments.processor import Processor, ProcessorRefused
from billing.payments.telling import tell_of_dispute
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import IllegalTransition, move

State = PaymentDispute.State
LONGEST_EVIDENCE = 20_000


class DisputeClosed(Conflict):
    """Evidence is taken once, before its deadline."""

    code = "dispute_takes_no_evidence"

    def __init__(self, dispute: PaymentDispute) -> None:
        self.dispute = dispute
        super().__init__("This dispute takes no evidence any more.")


def refresh(dispute_id: str, *, processor: Processor, at: datetime) -> PaymentDispute | None:
    """Read a dispute, note it down and book what moved; None when it is about no payment of ours. Safe to repeat."""
    found = processor.read("disputes.retrieve", dispute_id)
    _learn_of_payment(str(found["payment_intent"]), processor=processor, at=at)
    return apply(found, at=at)


def _learn_of_payment(intent_id: str, *, processor: Processor, at: datetime) -> None:
    """Note down the payment first, when the dispute is told before it."""
    if PaymentAttempt.objects.filter(intent_id=intent_id).exists():
        return
    intent = processor.read("payment_intents.retrieve", intent_id)
    if attempt := attempt_of_intent(intent_id, intent.get("metadata") or {}):
        apply_payment(attempt, intent, at=at)


def apply(found: dict[str, Any], *, at: datetime) -> PaymentDispute | None:
    """Note down what the processor says of a dispute; forward only."""
    attempt = attempt_of_intent(str(found["payment_intent"]), {})
    if attempt is None:
        return None
    due_by = (found.get("evidence_details") or {}).get("due_by")
    with transaction.atomic():
        dispute, is_new = PaymentDispute.objects.get_or_create(
            dispute_id=found["id"],
            defaults={
                "attempt": attempt,
                "amount_minor": found["amount"],
                "currency": found["currency"].upper(),
                "reason": found["reason"].replace("_", " "),
                "state": found["status"],
                "evidence_due_at": datetime.fromtimestamp(due_by, UTC) if due_by else None,
                "opened_at": datetime.fromtimestamp(found["created"], UTC),
            },
        )
        if is_new:
            audit.record(
                "billing.payment_dispute.opened", subject=dispute, at=at, new={"state": dispute.state}
            )
            tell_of_dispute(dispute, at=at)
        elif dispute.state != found["status"]:
            _move(dispute, found["status"], at=at)
        _book(dispute, found.get("balance_transactions") or [], at=at)
    return dispute


def _move(dispute: PaymentDispute, to: str, *, at: datetime) -> None:
    changes = {} if to in PaymentDispute.OPEN else {"ended_at": at}
    try:
        move(
            dispute,
            PaymentDispute.TRANSITIONS,
            to=to,
            action=f"billing.payment_dispute.{to}",
            at=at,
            changes=changes,
        )
    except IllegalTransition:
        dispute.refresh_from_db()


def _book(dispute: PaymentDispute, moved: list[dict[str, Any]], *, at: datetime) -> None:
    """Book by what moved, not by states: an inquiry moves nothing, and money may come back before the decision is told."""
    withdrawn = -sum(int(one["amount"]) for one in moved if int(one["amount"]) < 0)
    reinstated = sum(int(one["amount"]) for one in moved if int(one["amount"]) > 0)
    currency = moved[0]["currency"].upper() if moved else dispute.currency
    steps = [
        ("withdrawn", chart.DISPUTED_PAYMENTS, chart.PROCESSOR_BALANCE, withdrawn),
        ("reinstated", chart.PROCESSOR_BALANCE, chart.DISPUTED_PAYMENTS, reinstated),
    ]
    for step, debit, credit, amount_minor in steps:
        journal.post(_fact(dispute, step, debit, credit, amount_minor, currency, at=at), at=at)
    if dispute.state == State.LOST:
        _lose(dispute, withdrawn - reinstated, currency, at=at)


def _lose(dispute: PaymentDispute, amount_minor: int, currency: str, *, at: datetime) -> None:
    """Take the payment back, so that its invoice is due again; what it did not pay of the invoice is lost."""
    invoice = dispute.attempt.invoice
    payment = invoice.payments.filter(reference=dispute.attempt.intent_id).first()
    back_minor = 0
    if payment is not None:
        earlier = payment.reversals.filter(reference=dispute.dispute_id).first()
        gone = payment.reversals.exclude(reference=dispute.dispute_id).values_list("amount_minor", flat=True)
        most = 0 if payment.is_recovery and gone else payment.amount_minor - sum(gone)
        back_minor = earlier.amount_minor if earlier else min(amount_minor, most)
    if payment is not None and back_minor > 0:
        settling.reverse_payment(
            payment,
            amount_minor=back_minor,
            reference=dispute.dispute_id,
            reason=f"The payer's bank took it back: {dispute.reason}.",
            at=at,
            money=chart.DISPUTED_PAYMENTS,
        )
    rest = ("lost", chart.DISPUTE_LOSSES, chart.DISPUTED_PAYMENTS, amount_minor - back_minor)
    journal.post(_fact(dispute, *rest, currency, at=at), at=at)


def _fact(
    dispute: PaymentDispute,
    step: str,
    debit: Account,
    credit: Account,
    amount_minor: int,
    currency: str,
    *,
    at: datetime,
) -> Fact:
    who = {"organization_id": dispute.attempt.invoice.organization_id}
    return Fact(
        key=f"payment-dispute-{step}:{dispute.pk}",
        kind="billing.payment_dispute",
        memo=f"Dispute {dispute.dispute_id} of {dispute.attempt.invoice}: {step}",
        legs=[Leg(debit, amount_minor, currency, **who), Leg(credit, -amount_minor, currency, **who)],
        period=running_month(at),
    )


def answer(
    dispute: PaymentDispute, *, evidence: str, processor: Processor, by: Actor, at: datetime
) -> PaymentDispute:
    """Send evidence to the bank, once. Raises NotAllowed, InvalidInput, DisputeClosed, ProcessorAway."""
    access.require_platform(by, Role.FINANCE)
    evidence = evidence.strip()
    if not 0 < len(evidence) <= LONGEST_EVIDENCE:
        raise InvalidInput(
            "evidence", f"is needed, at most {LONGEST_EVIDENCE:,} characters", limit=LONGEST_EVIDENCE
        )
    if dispute.state not in PaymentDispute.TAKES_EVIDENCE:
        raise DisputeClosed(dispute)
    try:
        found = processor.write(
            "disputes.update",
            dispute.dispute_id,
            key=f"answer-dispute:{dispute.pk}",
            evidence={"uncategorized_text": evidence},
            submit=True,
        )
    except ProcessorRefused as error:
        raise DisputeClosed(dispute) from error
    PaymentDispute.objects.filter(pk=dispute.pk).update(
        answered_at=at, answered_by=by.user, evidence=evidence
    )
    audit.record("billing.payment_dispute.answered", subject=dispute, at=at, by=by.user)
    return apply(found, at=at) or dispute


def accept(dispute: PaymentDispute, *, processor: Processor, by: Actor, at: datetime) -> PaymentDispute:
    """Let the money go. Raises NotAllowed, DisputeClosed, ProcessorAway."""
    access.require_platform(by, Role.FINANCE)
    if dispute.state not in PaymentDispute.TAKES_EVIDENCE:
        raise DisputeClosed(dispute)
    try:
        found = processor.write("disputes.close", dispute.dispute_id, key=f"accept-dispute:{dispute.pk}")
    except ProcessorRefused as error:
        raise DisputeClosed(dispute) from error
    audit.record("billing.payment_dispute.accepted", subject=dispute, at=at, by=by.user)
    return apply(found, at=at) or dispute
