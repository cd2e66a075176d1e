"""The monthly run: what is to be drafted, what is parked and why, and lines that finance adds by hand."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class MonthlyRun(models.Model):
    """One pass over everybody who has something to pay for a month: drafts to look at, or the bills themselves."""

    class Purpose(models.TextChoices):
        DRAFTS = "drafts"
        CLOSE = "close"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="runs")
    purpose = models.CharField(max_length=6, choices=Purpose)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # Whoever starts a run finds the one that is under way.
            models.UniqueConstraint(
                fields=["period", "purpose"], condition=Q(ended_at=None), name="monthly_run_one_under_way"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.period_id}"


class RunBatch(models.Model):
    """Some organizations of a run, whose bills are drafted in one transaction by one worker."""

    run = models.ForeignKey("billing.MonthlyRun", models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    organizations = models.JSONField(help_text="Ids; every contract is of one organization.")
    drafted_at = models.DateTimeField(null=True, blank=True)
    drafts = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="run_batch_number_unique")]
        indexes = [
            models.Index(fields=["run", "number"], name="run_batch_waiting", condition=Q(drafted_at=None))
        ]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.run_id}"


class OfPayer(models.Model):
    """Columns that name a bill before there is one: who pays, for which month, in which currency."""

    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="+")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="+"
    )
    currency = models.CharField(max_length=3)

    class Meta:
        abstract = True


class ParkedBill(OfPayer):
    """A bill that is put aside: it could not be made, or somebody holds it back. The month waits for it."""

    class Cause(models.TextChoices):
        ERROR = "error"
        HELD = "held", "Held back"

    class State(models.TextChoices):
        PARKED = "parked"
        RELEASED = "released"

    TRANSITIONS: ClassVar[Transitions] = {"parked": frozenset({"released"}), "released": frozenset()}

    cause = models.CharField(max_length=5, choices=Cause)
    state = models.CharField(max_length=8, choices=State, default=State.PARKED)
    code = models.CharField(max_length=60, blank=True, help_text="What kind of error it was.")
    reason = models.TextField()
    attempts = models.PositiveIntegerField(default=1, help_text="How often it was tried in vain.")
    parked_at = models.DateTimeField()
    parked_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    handed_to = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True, help_text="What whoever has it now should know.")
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "organization", "cost_center", "currency"],
                condition=Q(state="parked"),
                nulls_distinct=False,
                name="parked_bill_once_per_payer",
            ),
            models.CheckConstraint(
                condition=Q(cause="error") | Q(parked_by__isnull=False), name="parked_bill_held_by_somebody"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="parked_bill_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.cost_center or self.organization} {self.period_id}"


class AddedLine(OfPayer):
    """A line that finance adds to a draft by hand; it stays when the draft is worked out anew."""

    description = models.CharField(max_length=200)
    amount_minor = models.BigIntegerField(help_text="Net, in minor units; less than zero takes off.")
    reason = models.TextField()
    added_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)
    request_key = models.CharField(max_length=64, unique=True, help_text="A form sent twice adds one line.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount_minor=0), name="added_line_has_amount"),
            models.CheckConstraint(condition=~Q(reason=""), name="added_line_has_reason"),
        ]
        indexes = [
            models.Index(
                fields=["period", "organization"], name="added_line_by_payer", condition=Q(removed_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.description
