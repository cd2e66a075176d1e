"""Money that an organization or a cost center has paid ahead, and credit it was given."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Deferred, Delete, Insert, Protect, Row, Trigger, Update

from marketplace.core.ids import uuid7

# Checked at commit: what a wallet says is left is what its credits have left, and what its movements came to.
UNEVEN_WALLET = """
IF (SELECT balance_minor FROM billing_wallet WHERE id = NEW.wallet_id) IS DISTINCT FROM
    (SELECT coalesce(sum(left_minor), 0) FROM billing_walletcredit WHERE wallet_id = NEW.wallet_id)
OR (SELECT balance_minor FROM billing_wallet WHERE id = NEW.wallet_id) IS DISTINCT FROM
    (SELECT coalesce(sum(amount_minor), 0) FROM billing_walletmovement WHERE wallet_id = NEW.wallet_id)
THEN
    RAISE EXCEPTION 'wallet % is not the sum of its credits and movements', NEW.wallet_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""


class Wallet(models.Model):
    """A balance in one currency that pays bills before money is asked for; of an organization, or of one cost center."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="wallets")
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="wallets"
    )
    currency = models.CharField(max_length=3)
    balance_minor = models.BigIntegerField(default=0)
    low_balance_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Its people are told when less is left."
    )
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "cost_center", "currency"],
                name="wallet_one_per_payer",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=Q(balance_minor__gte=0), name="wallet_never_below_zero"),
        ]
        triggers = [Protect(name="wallets_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"Wallet of {self.cost_center or self.organization}, {self.currency}"


class WalletCredit(models.Model):
    """One amount that went into a wallet, and what is left of it."""

    class Kind(models.TextChoices):
        PROMOTIONAL = "promotional", "Given"
        PAID = "paid", "Paid ahead"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    wallet = models.ForeignKey("billing.Wallet", models.PROTECT, related_name="credits")
    kind = models.CharField(max_length=11, choices=Kind)
    amount_minor = models.BigIntegerField()
    left_minor = models.BigIntegerField()
    expires_at = models.DateTimeField(null=True, blank=True)
    reference = models.CharField(
        max_length=100, help_text="As the bank names it, or why it was given; once per wallet."
    )
    granted_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    granted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["wallet", "reference"], name="wallet_credit_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, left_minor__gte=0, left_minor__lte=F("amount_minor"))
                & ~Q(reference=""),
                name="wallet_credit_within_amount",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(left_minor__gt=0), name="wallet_credit_to_expire")
        ]
        triggers = [Protect(name="wallet_credits_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reference}"


class WalletMovement(models.Model):
    """What went into or out of a wallet, of one of its credits; added, never changed."""

    class Kind(models.TextChoices):
        TOP_UP = "top_up", "Paid ahead"
        GRANT = "grant", "Given"
        APPLIED = "applied", "Paid a bill"
        REFUND = "refund", "Paid back"
        EXPIRY = "expiry", "Expired"

    INTO: ClassVar[frozenset[str]] = frozenset({"top_up", "grant"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    wallet = models.ForeignKey("billing.Wallet", models.PROTECT, related_name="movements")
    credit = models.ForeignKey("billing.WalletCredit", models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=7, choices=Kind)
    amount_minor = models.BigIntegerField()
    balance_minor = models.BigIntegerField(help_text="What was left in the wallet then.")
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="wallet_movements"
    )
    reference = models.CharField(max_length=100, blank=True)
    moved_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["top_up", "grant"], amount_minor__gt=0)
                | Q(kind__in=["applied", "refund", "expiry"], amount_minor__lt=0),
                name="wallet_movement_has_direction",
            ),
            models.CheckConstraint(
                condition=Q(kind="applied", invoice__isnull=False)
                | ~Q(kind="applied") & Q(invoice__isnull=True),
                name="wallet_movement_applied_has_invoice",
            ),
        ]
        indexes = [models.Index(fields=["wallet", "moved_at"], name="wallet_statement")]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(
                name="wallet_is_even",
                when=After,
                operation=Insert,
                timing=Deferred,
                level=Row,
                func=UNEVEN_WALLET,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.amount_minor}"
