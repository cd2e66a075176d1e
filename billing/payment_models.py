"""What payers have paid on invoices, and what of it went back."""

from django.db import models
from django.db.models import Q
from pgtrigger import Before, Delete, Insert, Protect, Trigger, Update

from billing.due_sql import DUE, PAID_BACK, RECOVERABLE
from marketplace.core.ids import uuid7

# Locks the invoice, so that of two payments at once the second one sees the first.
BEYOND_DUE = f"""
PERFORM 1 FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
IF NEW.amount_minor > (CASE WHEN NEW.is_recovery THEN {RECOVERABLE} ELSE {DUE} END) THEN
    RAISE EXCEPTION 'more is paid than invoice % asks for', NEW.invoice_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""
# Locks the payment's invoice, as above.
BEYOND_PAYMENT = f"""
PERFORM 1 FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
IF NEW.amount_minor + {PAID_BACK} > (
    SELECT amount_minor FROM billing_receivedpayment WHERE id = NEW.payment_id AND invoice_id = NEW.invoice_id
) IS NOT FALSE THEN
    RAISE EXCEPTION 'more goes back than payment % brought', NEW.payment_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""  # noqa: S608  the names are ours


class ReceivedPayment(models.Model):
    """Money that came in for an invoice: seen on the bank's statement, taken from a card, or from the payer's balance."""

    class Source(models.TextChoices):
        TRANSFER = "transfer", "Bank transfer"
        CARD = "card", "Card or debit"
        BALANCE = "balance", "Customer's balance"
        PREPAID = "prepaid", "Prepaid credit"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="payments")
    amount_minor = models.BigIntegerField()
    source = models.CharField(
        max_length=8, choices=Source, default=Source.TRANSFER, db_default=Source.TRANSFER
    )
    is_recovery = models.BooleanField(
        default=False, db_default=False, help_text="It came after the invoice had been written off."
    )
    reference = models.CharField(max_length=100, help_text="As the bank names it; once per invoice.")
    received_date = models.DateField()
    recorded_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: a machine."
    )
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "reference"], name="received_payment_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0) & ~Q(reference=""),
                name="received_payment_has_amount_and_reference",
            ),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="payment_within_due", when=Before, operation=Insert, func=BEYOND_DUE),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.amount_minor}"


class PaymentReversal(models.Model):
    """Money of a payment that went back: a debit that bounced, a charge that was disputed, a transfer called back."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey("billing.ReceivedPayment", models.PROTECT, related_name="reversals")
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="payment_reversals")
    amount_minor = models.BigIntegerField()
    reference = models.CharField(max_length=100, help_text="As the bank names it; once per payment.")
    reason = models.CharField(max_length=500)
    recorded_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: a machine."
    )
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["payment", "reference"], name="payment_reversal_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0) & ~Q(reference="") & ~Q(reason=""),
                name="payment_reversal_has_amount_and_reason",
            ),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="reversal_within_payment", when=Before, operation=Insert, func=BEYOND_PAYMENT),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: -{self.amount_minor}"
