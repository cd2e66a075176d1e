"""What somebody agreed to at each step of a subscription."""

from django.db import models
from pgtrigger import Delete, Protect, Update

from marketplace.core.ids import uuid7


class SubscriptionAgreement(models.Model):
    """A step of a subscription as it was agreed: the plan, the terms, and the amounts that were on the page.

    ``shown`` is empty for what was done without a page.
    """

    class Step(models.TextChoices):
        STARTED = "started"
        CHANGED = "changed", "Plan changed"
        PLANNED = "planned", "Change planned"
        PAUSED = "paused"
        RESUMED = "resumed"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="agreements")
    step = models.CharField(max_length=10, choices=Step)
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, related_name="+")
    version = models.ForeignKey("catalog.Version", models.PROTECT, null=True, blank=True, related_name="+")
    terms_version = models.CharField(max_length=20)
    terms_digest = models.CharField(max_length=64)
    shown = models.JSONField(default=dict)
    agreed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    agreed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["subscription", "agreed_at"], name="agreement_of_subscription")]
        triggers = [Protect(name="agreement_stays", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.step}"
