"""What payers have paid on invoices."""

from django.db import models
from django.db.models import Q
from pgtrigger import Before, Delete, Insert, Protect, Trigger, Update

from marketplace.core.ids import uuid7

# Locks the invoice, so that of two payments at once the second one sees the first.
BEYOND_DUE = """
PERFORM 1 FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
IF NEW.amount_minor + (
    SELECT coalesce(sum(amount_minor), 0) FROM billing_receivedpayment WHERE invoice_id = NEW.invoice_id
) + (
    SELECT coalesce(sum(total_minor), 0) FROM billing_creditnote
    WHERE invoice_id = NEW.invoice_id AND state = 'issued'
) > (SELECT total_minor FROM billing_invoice WHERE id = NEW.invoice_id) THEN
    RAISE EXCEPTION 'more is paid than invoice % asks for', NEW.invoice_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class ReceivedPayment(models.Model):
    """Money that came in for an invoice: finance saw it on the bank's statement, or the payment processor has it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="payments")
    amount_minor = models.BigIntegerField()
    reference = models.CharField(
        max_length=100, help_text="As the bank or the processor names it; once per invoice."
    )
    received_date = models.DateField()
    recorded_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
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
