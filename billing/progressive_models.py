"""Amounts at which a subscription is billed before its month is over, and what was billed so."""

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect, Update

from marketplace.core.ids import uuid7


class ProgressiveThreshold(models.Model):
    """When usage of a month first comes to this amount at price, it is billed at once."""

    subscription = models.ForeignKey(
        "catalog.Subscription", models.PROTECT, related_name="progressive_thresholds"
    )
    amount_minor = models.BigIntegerField(help_text="In the currency of the subscription's plan.")
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "amount_minor"], name="progressive_threshold_once"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="progressive_threshold_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.amount_minor}"


class ProgressiveBill(models.Model):
    """A threshold that was passed in a month, and the invoice that was made of it; one for each."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="progressive_bills")
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="progressive_bills")
    threshold_minor = models.BigIntegerField()
    used_minor = models.BigIntegerField(help_text="What usage of the month came to then.")
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="progressive_bills")
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "period", "threshold_minor"], name="progressive_bill_once"
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.invoice} at {self.threshold_minor}"
