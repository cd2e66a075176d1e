"""Who pays by card or debit, what was asked of the payment processor, and what became of it.

Each row is written before the processor is called: the idempotency key of the call is made of its id, so that the call
can be repeated after any interruption.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
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


class PaymentCustomer(models.Model):
    """An organization as the processor knows it; one for each, made when it first pays or adds a way to pay."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.OneToOneField(
        "accounts.Organization", models.PROTECT, related_name="payment_customer"
    )
    name = models.CharField(max_length=160, help_text="As it was sent first: a repeated call sends the same.")
    customer_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    is_automatic = models.BooleanField(
        default=False, help_text="Invoices are collected when they are issued."
    )
    agreed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    agreed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_automatic=False) | Q(agreed_by__isnull=False, agreed_at__isnull=False),
                name="payment_customer_automatic_is_agreed",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PaymentMethod(models.Model):
    """A card or account that an organization pays with. Of its number only the end is known here."""

    class Kind(models.TextChoices):
        CARD = "card", "Card"
        SEPA_DEBIT = "sepa_debit", "SEPA debit"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey("billing.PaymentCustomer", models.PROTECT, related_name="methods")
    method_id = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    brand = models.CharField(max_length=40)
    last4 = models.CharField(max_length=4)
    expires_year = models.PositiveSmallIntegerField(null=True, blank=True)
    expires_month = models.PositiveSmallIntegerField(null=True, blank=True)
    is_default = models.BooleanField(default=False)
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=Q(is_default=True), name="payment_method_one_default"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(removed_at__isnull=True),
                name="payment_method_default_is_there",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} …{self.last4}"


class MethodSetup(models.Model):
    """A visit to the processor's page on which somebody adds a way to pay."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        EXPIRED = "expired"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"done", "expired"}),
        "expired": frozenset(),
        "done": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey("billing.PaymentCustomer", models.PROTECT, related_name="setups")
    session_id = models.CharField(max_length=120, null=True, blank=True, unique=True)
    page_url = models.TextField(blank=True)
    return_path = models.CharField(
        max_length=200, blank=True, help_text="Where the person goes on afterwards."
    )
    state = models.CharField(max_length=7, choices=State, default=State.OPEN)
    method = models.ForeignKey(
        "billing.PaymentMethod", models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.customer}: {self.state}"


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


class ConnectedAccount(models.Model):
    """Where a team that makes apps is paid: an account at the processor that belongs to the team's company."""

    class State(models.TextChoices):
        INCOMPLETE = "incomplete"
        IN_REVIEW = "in_review"
        READY = "ready"
        RESTRICTED = "restricted"

    # What the processor says of it now; it goes to and fro.
    TRANSITIONS: ClassVar[Transitions] = {
        state: frozenset({"incomplete", "in_review", "ready", "restricted"} - {state})
        for state in ("incomplete", "in_review", "ready", "restricted")
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.OneToOneField("accounts.Team", models.PROTECT, related_name="connected_account")
    name = models.CharField(max_length=160)
    country = models.CharField(max_length=2)
    account_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.INCOMPLETE)
    missing = models.JSONField(default=list, blank=True, help_text="What the processor still wants to know.")
    read_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="ready") | Q(account_id__isnull=False),
                name="connected_account_ready_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class Transfer(models.Model):
    """Money to a connected account. The key names what it is for, once."""

    class State(models.TextChoices):
        CREATED = "created"
        DONE = "done"
        FAILED = "failed"

    TRANSITIONS: ClassVar[Transitions] = {
        "created": frozenset({"done", "failed"}),
        "failed": frozenset(),
        "done": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120, unique=True)
    account = models.ForeignKey("billing.ConnectedAccount", models.PROTECT, related_name="transfers")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    memo = models.CharField(max_length=200)
    state = models.CharField(max_length=7, choices=State, default=State.CREATED)
    transfer_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    failure = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="transfer_has_amount"),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(transfer_id__isnull=False), name="transfer_done_is_known"
            ),
        ]
        triggers = [
            Protect(
                name="asked_transfer_stays",
                operation=UpdateOf("key", "account_id", "amount_minor", "currency", "memo") | Delete,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.memo}: {self.amount_minor} {self.currency}"


class TransferReversal(models.Model):
    """Money that came back from a connected account, in part or in full."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120, unique=True)
    transfer = models.ForeignKey("billing.Transfer", models.PROTECT, related_name="reversals")
    amount_minor = models.BigIntegerField()
    reversal_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    failure = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="transfer_reversal_has_amount"),
        ]
        triggers = [
            Protect(
                name="asked_reversal_stays", operation=UpdateOf("key", "transfer_id", "amount_minor") | Delete
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transfer}: {self.amount_minor} back"


class ProcessorEvent(models.Model):
    """What the processor told us, as it came, each once; whatever its type."""

    class State(models.TextChoices):
        RECEIVED = "received"
        DONE = "done"
        IGNORED = "ignored"
        FAILED = "failed"

    # All of them again: an event may be replayed.
    TRANSITIONS: ClassVar[Transitions] = {
        state: frozenset({"done", "ignored", "failed"}) for state in ("received", "done", "ignored", "failed")
    }

    event_id = models.CharField(max_length=120, primary_key=True)
    type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=120, blank=True)
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    deliveries = models.PositiveIntegerField(default=1)
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.RECEIVED)
    note = models.CharField(max_length=300, blank=True)
    replays = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["-received_at"], name="processor_event_by_time")]
        triggers = [
            Protect(name="told_event_stays", operation=UpdateOf("type", "payload", "happened_at") | Delete)
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class BalanceTransaction(models.Model):
    """A line of the processor's own account of our money, and the entries of our books that say the same."""

    transaction_id = models.CharField(max_length=80, primary_key=True)
    kind = models.CharField(max_length=40)
    source_id = models.CharField(max_length=80, blank=True)
    amount_minor = models.BigIntegerField()
    fee_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=300, blank=True)
    happened_at = models.DateTimeField()
    available_at = models.DateTimeField()
    entries = models.ManyToManyField("billing.JournalEntry", related_name="balance_transactions")
    difference = models.CharField(
        max_length=200, blank=True, help_text="Why it does not agree with the books."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(net_minor=F("amount_minor") - F("fee_minor")),
                name="balance_transaction_adds_up",
            ),
        ]
        indexes = [models.Index(fields=["source_id"], name="balance_transaction_by_source")]
        triggers = [
            Protect(
                name="told_transaction_stays",
                operation=UpdateOf("amount_minor", "fee_minor", "net_minor", "currency") | Delete,
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.transaction_id}"


class FakeObject(models.Model):
    """A thing in the world of the fake processor, which stands in for Stripe in the demo and in tests."""

    number = models.BigAutoField(primary_key=True)
    object_id = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=40)
    created = models.BigIntegerField(help_text="Unix time, as Stripe has it.")
    parent = models.CharField(
        max_length=120, blank=True, help_text="Customer, charge, transfer: what lists go by."
    )
    body = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["kind", "parent"], name="fake_object_by_kind")]

    def __str__(self) -> str:
        return self.object_id


class FakeCall(models.Model):
    """What the fake answered under an idempotency key."""

    key = models.CharField(max_length=255, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.key
