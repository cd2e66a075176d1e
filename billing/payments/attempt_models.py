"""What was asked of the payment processor for an invoice, and what of it went back.

Each row is written before the processor is called: the idempotency key of the call is made of its id, so that the call
can be repeated after any interruption.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Before, Delete, Insert, Protect, Trigger, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

# Locks the attempt, so that of two refunds at once the second one sees the first.
BEYOND_PAYMENT = """
PERFORM 1 FROM billing_paymentattempt WHERE id = NEW.attempt_id FOR UPDATE;
IF NEW.amount_minor + (
    SELECT coalesce(sum(amount_minor), 0) FROM billing_paymentrefund
    WHERE attempt_id = NEW.attempt_id AND state NOT IN ('failed', 'canceled')
) > (SELECT amount_minor FROM billing_paymentattempt WHERE id = NEW.attempt_id) THEN
    RAISE EXCEPTION 'more is refunded than payment % took', NEW.attempt_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class PaymentAttempt(models.Model):
    """One try to collect an invoice by a card or debit: one PaymentIntent at the processor, whatever is repeated."""

    class State(models.TextChoices):
        CREATED = "created"
        REQUIRES_ACTION = "requires_action"
        PROCESSING = "processing"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELED = "canceled"

    # Only forward, so that news that come late or out of order change nothing. A payment that failed may yet succeed:
    # on the processor's own page people try another card.
    TRANSITIONS: ClassVar[Transitions] = {
        "created": frozenset({"requires_action", "processing", "succeeded", "failed", "canceled"}),
        "requires_action": frozenset({"processing", "succeeded", "failed", "canceled"}),
        "processing": frozenset({"succeeded", "failed", "canceled"}),
        "failed": frozenset({"succeeded", "canceled"}),
        "succeeded": frozenset(),
        "canceled": frozenset(),
    }
    ACTIVE = (State.CREATED, State.REQUIRES_ACTION, State.PROCESSING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="payment_attempts")
    customer = models.ForeignKey("billing.PaymentCustomer", models.PROTECT, related_name="attempts")
    method = models.ForeignKey(
        "billing.PaymentMethod", models.PROTECT, null=True, blank=True, related_name="attempts",
        help_text="Empty: chosen on the processor's page.",
    )  # fmt: skip
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    is_automatic = models.BooleanField(default=False)
    state = models.CharField(max_length=15, choices=State, default=State.CREATED)
    intent_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    session_id = models.CharField(max_length=120, null=True, blank=True, unique=True)
    charge_id = models.CharField(max_length=80, blank=True)
    page_url = models.TextField(
        blank=True, help_text="Where the payer goes on: the bank, or the processor's page."
    )
    return_url = models.TextField(blank=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(state__in=["created", "requires_action", "processing"]),
                name="payment_attempt_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0),
                name="payment_attempt_has_amount",
            ),
            models.CheckConstraint(
                condition=~Q(state="succeeded") | Q(intent_id__isnull=False),
                name="payment_attempt_succeeded_has_intent",
            ),
        ]
        indexes = [
            models.Index(fields=["charge_id"], condition=~Q(charge_id=""), name="payment_attempt_by_charge")
        ]
        triggers = [
            # The idempotency key stands for these: another amount under it would be refused by the processor.
            Protect(
                name="asked_payment_stays",
                operation=UpdateOf(
                    "invoice_id", "customer_id", "method_id", "amount_minor", "currency", "is_automatic"
                )
                | Delete,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.amount_minor} {self.currency}, {self.state}"


class PaymentRefund(models.Model):
    """Money of a payer's balance that goes back to the card or account it came from."""

    class State(models.TextChoices):
        CREATED = "created"
        PENDING = "pending"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELED = "canceled"

    # A refund that succeeded may fail days later, when the bank sends it back.
    TRANSITIONS: ClassVar[Transitions] = {
        "created": frozenset({"pending", "succeeded", "failed", "canceled"}),
        "pending": frozenset({"succeeded", "failed", "canceled"}),
        "succeeded": frozenset({"failed"}),
        "failed": frozenset(),
        "canceled": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    attempt = models.ForeignKey("billing.PaymentAttempt", models.PROTECT, related_name="refunds")
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="refunds")
    credit_note = models.ForeignKey(
        "billing.CreditNote", models.PROTECT, null=True, blank=True, related_name="refunds",
        help_text="What it goes back for; empty: what was paid too much.",
    )  # fmt: skip
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.CREATED)
    refund_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    failure = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payment_refund_has_amount"),
        ]
        triggers = [
            Protect(
                name="asked_refund_stays",
                operation=UpdateOf("attempt_id", "invoice_id", "credit_note_id", "amount_minor") | Delete,
            ),
            Trigger(name="refund_within_payment", when=Before, operation=Insert, func=BEYOND_PAYMENT),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.amount_minor} back, {self.state}"


class PaymentDispute(models.Model):
    """A payer told the bank that a payment was not theirs. The money is gone until the bank has decided."""

    class State(models.TextChoices):
        NEEDS_RESPONSE = "needs_response"
        UNDER_REVIEW = "under_review"
        WON = "won"
        LOST = "lost"
        # Inquiries: the bank asks, no money has moved.
        WARNING_NEEDS_RESPONSE = "warning_needs_response", "Inquiry needs response"
        WARNING_UNDER_REVIEW = "warning_under_review", "Inquiry under review"
        WARNING_CLOSED = "warning_closed", "Inquiry closed"

    TRANSITIONS: ClassVar[Transitions] = {
        "warning_needs_response": frozenset(
            {"warning_under_review", "warning_closed", "needs_response", "under_review", "won", "lost"}
        ),
        "warning_under_review": frozenset(
            {"warning_closed", "needs_response", "under_review", "won", "lost"}
        ),
        "warning_closed": frozenset({"needs_response", "under_review", "won", "lost"}),
        "needs_response": frozenset({"under_review", "won", "lost"}),
        "under_review": frozenset({"won", "lost"}),
        "won": frozenset(),
        "lost": frozenset(),
    }
    TAKES_EVIDENCE = (State.NEEDS_RESPONSE, State.WARNING_NEEDS_RESPONSE)
    OPEN = (*TAKES_EVIDENCE, State.UNDER_REVIEW, State.WARNING_UNDER_REVIEW)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    attempt = models.ForeignKey("billing.PaymentAttempt", models.PROTECT, related_name="disputes")
    dispute_id = models.CharField(max_length=80, unique=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=60)
    state = models.CharField(max_length=22, choices=State)
    evidence_due_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    answered_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    evidence = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.dispute_id}: {self.amount_minor} {self.currency}, {self.state}"
