"""The rules by which increase requests are decided, in versions."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect

from marketplace.core.transitions import Transitions
from quotas.increase_triggers import policy_is_fixed

NO_STATES: frozenset[str] = frozenset()


class IncreasePolicy(models.Model):
    """One version of the rules for increase requests: what is granted by itself, and who looks at the rest.

    Somebody proposes it, a second person activates it from a date; its terms never change.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": NO_STATES,
        "rejected": NO_STATES,
        "withdrawn": NO_STATES,
    }

    number = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    currency = models.CharField(max_length=3)
    auto_max_percent = models.DecimalField(
        max_digits=9,
        decimal_places=2,
        help_text="Granted by itself: at most so much more, in percent. 0: nothing is.",
    )
    auto_max_monthly_cost = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        help_text="Granted by itself: when it is projected to cost at most this a month.",
    )
    auto_min_head_room_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        help_text="Granted by itself: when at least so much capacity stays free.",
    )
    auto_max_days = models.PositiveIntegerField(help_text="Granted by itself: for at most so many days.")
    cost_review_above = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        help_text="Projected cost a month above which the paying side reviews it.",
    )
    capacity_review_above_percent = models.DecimalField(
        max_digits=9, decimal_places=2, help_text="Increase above which operators review it."
    )
    needs_two_people = models.BooleanField(
        default=True, help_text="Two levels of review need two different people."
    )
    remind_after_hours = models.PositiveIntegerField(default=24)
    escalate_after_hours = models.PositiveIntegerField(default=72)
    expire_after_hours = models.PositiveIntegerField(default=336)
    reason = models.TextField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "policy"
        verbose_name_plural = "increase policies"
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="approved", ends_at__isnull=True),
                name="increase_policy_one_open",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="increase_policy_four_eyes",
                violation_error_message="Nobody activates their own policy.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "rejected"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="increase_policy_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", starts_at__isnull=False)
                | (~Q(state="approved") & Q(starts_at__isnull=True)),
                name="increase_policy_approved_has_start",
            ),
            models.CheckConstraint(
                condition=Q(
                    auto_max_percent__gte=0,
                    auto_max_monthly_cost__gte=0,
                    auto_min_head_room_percent__gte=0,
                    auto_min_head_room_percent__lte=100,
                    cost_review_above__gte=0,
                    capacity_review_above_percent__gte=0,
                ),
                name="increase_policy_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(
                    remind_after_hours__gt=0,
                    escalate_after_hours__gte=F("remind_after_hours"),
                    expire_after_hours__gt=F("escalate_after_hours"),
                ),
                name="increase_policy_hours_ascend",
            ),
        ]
        triggers = [Protect(name="policy_stays", operation=Delete), policy_is_fixed()]

    def __str__(self) -> str:
        return f"policy {self.number}"

    def is_in_force(self, at: datetime) -> bool:
        """Tell whether requests of this time are decided by it."""
        return (
            self.starts_at is not None
            and self.starts_at <= at
            and (self.ends_at is None or at < self.ends_at)
        )
