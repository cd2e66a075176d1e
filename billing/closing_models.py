"""Closing: what people say of a month's steps, reopenings, and what is found when totals differ."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions


class StepMark(models.Model):
    """That a person vouches for a step of a month's close which no figure can show. It ends when the month is reopened."""

    class Step(models.TextChoices):
        RECONCILED = "reconciled"
        APPROVED = "approved"

    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="step_marks")
    step = models.CharField(max_length=10, choices=Step)
    reason = models.CharField(max_length=300, blank=True)
    shown = models.JSONField(default=dict, help_text="The figures that were on the page.")
    made_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "step"], condition=Q(ended_at__isnull=True), name="step_mark_one_valid"
            ),
            models.CheckConstraint(
                condition=~Q(step="reconciled") | ~Q(reason=""), name="step_mark_has_reason"
            ),
        ]
        triggers = [Protect(name="step_mark_stays", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.period_id} {self.step}"


class Reopening(Proposal):
    """That a closed month takes corrections again: shared costs, rules, a new allocation. Usage and invoices stay closed."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        ENDED = "ended"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": frozenset({"ended"}),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
        "ended": frozenset(),
    }

    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="reopenings")
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period"],
                condition=Q(state__in=["proposed", "approved"]),
                name="reopening_one_active",
            ),
            *four_eyes("reopening", decided=["approved", "rejected", "ended"]),
        ]
        triggers = [Protect(name="reopening_stays", operation=Delete)]

    def __str__(self) -> str:
        return f"reopening of {self.period_id}"


class TotalsIncident(models.Model):
    """That a comparison found totals that differ; finance explains it, and it closes when they agree again."""

    class State(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        CLOSED = "closed"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"acknowledged", "closed"}),
        "acknowledged": frozenset({"closed"}),
        "closed": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    found = models.JSONField(help_text="The findings that differ, as they were found first.")
    opened_at = models.DateTimeField()
    acknowledged_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # One at a time: while it is not over, every comparison finds the same one.
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=~Q(state="closed"), name="totals_incident_one_open"
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | Q(closed_at__isnull=False),
                name="totals_incident_closed_says_when",
            ),
        ]
        triggers = [Protect(name="totals_incident_stays", operation=Delete)]

    def __str__(self) -> str:
        return f"totals differ since {self.opened_at:%Y-%m-%d}"
