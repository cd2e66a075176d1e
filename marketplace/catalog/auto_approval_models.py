"""The rules by which plain versions are approved without a person, and the looks that people take afterwards."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions

ENDED: frozenset[str] = frozenset()


class AutoApprovalPolicy(Proposal):
    """One version of the rules. Proposed by an operator, activated by a second person; its terms never change.

    Without one in force, nothing is approved without a person.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ACTIVE = "active"
        ENDED = "ended"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"active", "rejected", "withdrawn"}),
        "active": frozenset({"ended"}),
        "ended": ENDED,
        "rejected": ENDED,
        "withdrawn": ENDED,
    }

    number = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    max_risk = models.PositiveSmallIntegerField(help_text="Approved by itself: at most this risk score.")
    max_monthly_cost = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        help_text="Approved by itself: when a month is projected to cost at most this.",
    )
    currency = models.CharField(max_length=3)
    allows_first = models.BooleanField(default=False, help_text="Also the first version of an app.")
    sample_percent = models.PositiveSmallIntegerField(
        help_text="So many percent of what was approved by itself are looked at afterwards."
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "policy"
        constraints = [
            *four_eyes("auto_approval", decided=["active", "ended", "rejected"]),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="active"), name="auto_approval_one_active"
            ),
            models.CheckConstraint(
                condition=Q(max_risk__lte=100, sample_percent__lte=100, max_monthly_cost__gte=0),
                name="auto_approval_bounds",
            ),
        ]
        triggers = [
            Protect(name="auto_approval_stays", operation=Delete),
            Protect(
                name="auto_approval_is_fixed",
                operation=UpdateOf(
                    "number",
                    "max_risk",
                    "max_monthly_cost",
                    "currency",
                    "allows_first",
                    "sample_percent",
                    "proposed_by_id",
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"policy {self.number} of auto-approval"


class PostReview(models.Model):
    """That an approver looks at something afterwards which was approved by itself."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    review = models.OneToOneField("catalog.Review", models.CASCADE, related_name="post_review")
    due_at = models.DateTimeField()
    seen_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    seen_at = models.DateTimeField(null=True, blank=True)
    would_approve = models.BooleanField(null=True)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(seen_at__isnull=True, seen_by__isnull=True, would_approve__isnull=True)
                | Q(seen_at__isnull=False, seen_by__isnull=False, would_approve__isnull=False),
                name="post_review_seen_whole",
            ),
            models.CheckConstraint(
                condition=Q(would_approve__isnull=True) | Q(would_approve=True) | ~Q(note=""),
                name="post_review_no_has_note",
            ),
        ]

    def __str__(self) -> str:
        return f"Look at {self.review}"
