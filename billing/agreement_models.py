"""What one side proposes to the other about the split of an app's price."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Condition, Delete, Protect, Update

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class AgreementProposal(models.Model):
    """Terms that creator or platform proposes; accepted by the other side they become an agreement from a date.

    Terms that leave the platform less than the house's floor need a second person of the platform, who endorses them
    before they are accepted.
    """

    class Side(models.TextChoices):
        CREATOR = "creator"
        PLATFORM = "platform"

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        WITHDRAWN = "withdrawn"
        SUPERSEDED = "superseded"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"accepted", "declined", "withdrawn", "superseded"}),
        "accepted": frozenset(),
        "declined": frozenset(),
        "withdrawn": frozenset(),
        "superseded": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="agreement_proposals")
    side = models.CharField(max_length=8, choices=Side)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    terms = models.JSONField(help_text="As the agreement will have them; amounts are strings.")
    starts_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    effect = models.JSONField(help_text="What the preview showed when it was proposed.")
    needs_second_person = models.BooleanField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    endorsed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    endorsed_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=500, blank=True)
    agreement = models.OneToOneField(
        "billing.RevenueShareAgreement", models.PROTECT, null=True, blank=True, related_name="proposal"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app"], condition=Q(state="proposed"), name="agreement_proposal_one_open"
            ),
            models.CheckConstraint(
                condition=(Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")))
                & (Q(endorsed_by__isnull=True) | ~Q(endorsed_by=F("proposed_by")))
                & (
                    Q(endorsed_by__isnull=True) | Q(decided_by__isnull=True) | ~Q(endorsed_by=F("decided_by"))
                ),
                name="agreement_proposal_four_eyes",
                violation_error_message="Nobody decides their own proposal.",
            ),
            models.CheckConstraint(
                condition=~Q(state="accepted")
                | Q(agreement__isnull=False, decided_by__isnull=False)
                & (Q(needs_second_person=False) | Q(endorsed_by__isnull=False)),
                name="agreement_proposal_accepted_by_all",
            ),
        ]
        triggers = [
            Protect(name="proposal_stays", operation=Delete),
            Protect(
                name="decided_proposal_stays",
                operation=Update,
                condition=Condition("OLD.state <> 'proposed'"),
            ),
        ]

    def __str__(self) -> str:
        return f"terms for {self.app} from {self.starts_at:%Y-%m-%d}"


class ShareTrueUp(models.Model):
    """What a month's tiers or guarantee added to what the lines gave a creator; one row for each change of it."""

    class Kind(models.TextChoices):
        TIERS = "tiers"
        GUARANTEE = "guarantee"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agreement = models.ForeignKey("billing.RevenueShareAgreement", models.PROTECT, related_name="true_ups")
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="share_true_ups")
    kind = models.CharField(max_length=9, choices=Kind)
    currency = models.CharField(max_length=3)
    number = models.PositiveSmallIntegerField(help_text="1 for the first of the month, more for changes.")
    amount_minor = models.BigIntegerField()
    explanation = models.JSONField()
    entry = models.OneToOneField("billing.JournalEntry", models.PROTECT, related_name="true_up")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agreement", "period", "kind", "currency", "number"], name="share_true_up_once"
            ),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="share_true_up_says_something"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.kind} of {self.period_id}: {self.amount_minor}"
