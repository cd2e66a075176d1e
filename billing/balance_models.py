"""What the house owes its customers: money that came in beyond what was due, until it is used or paid back."""

from django.db import models
from django.db.models import Q
from pgtrigger import After, Delete, Insert, Protect, Trigger, Update

from billing.due_sql import DUE
from marketplace.core.ids import uuid7

# The row of the balance is locked by this, so two uses of it at once take turns; its CHECK refuses the one too many.
# A surplus is what an invoice has too much: it may not be moved twice.
MOVE_BALANCE = f"""
INSERT INTO billing_customerbalance (organization_id, currency, balance_minor)
VALUES (NEW.organization_id, NEW.currency, 0) ON CONFLICT (organization_id, currency) DO NOTHING;
UPDATE billing_customerbalance SET balance_minor = balance_minor + NEW.amount_minor
WHERE organization_id = NEW.organization_id AND currency = NEW.currency;
IF NEW.kind = 'surplus' AND {DUE} > 0 THEN
    RAISE EXCEPTION 'invoice % has no such surplus', NEW.invoice_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""  # noqa: S608  the names are ours


class CustomerBalance(models.Model):
    """What a customer has in a currency; moved by entries alone."""

    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="balances")
    currency = models.CharField(max_length=3)
    balance_minor = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "currency"], name="customer_balance_one"),
            models.CheckConstraint(condition=Q(balance_minor__gte=0), name="customer_balance_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.organization}: {self.balance_minor} {self.currency}"


class BalanceEntry(models.Model):
    """One movement of a customer's balance; above zero in their favor."""

    class Kind(models.TextChoices):
        ON_ACCOUNT = "on_account", "Paid on account"
        SURPLUS = "surplus", "Paid and given back"
        USED = "used", "Used for an invoice"
        CHARGE = "charge", "Used for a reminder's charge"
        PAID_BACK = "paid_back", "Paid back"

    IN_FAVOR = (Kind.ON_ACCOUNT, Kind.SURPLUS)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="balance_entries")
    currency = models.CharField(max_length=3)
    kind = models.CharField(max_length=10, choices=Kind)
    amount_minor = models.BigIntegerField()
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="balance_entries"
    )
    payment = models.ForeignKey(
        "billing.ReceivedPayment", models.PROTECT, null=True, blank=True, related_name="balance_entries"
    )
    reference = models.CharField(max_length=100)
    happened_on = models.DateField()
    recorded_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: a machine."
    )
    recorded_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "balance entries"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "currency", "kind", "reference"], name="balance_entry_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["on_account", "surplus"], amount_minor__gt=0)
                | Q(kind__in=["used", "charge", "paid_back"], amount_minor__lt=0),
                name="balance_entry_has_direction",
            ),
            models.CheckConstraint(
                condition=~Q(kind="surplus") | Q(invoice__isnull=False), name="balance_surplus_has_invoice"
            ),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="moves_balance", when=After, operation=Insert, func=MOVE_BALANCE),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.amount_minor}"
