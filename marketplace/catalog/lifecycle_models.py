"""What happens in the life of a subscription beside its state: pauses, trials, and steps that wait for their day."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class SubscriptionPause(models.Model):
    """A time in which a subscription may not call and costs no fee; without an end it still is."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="pauses")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    paused_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    resumed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription"], condition=Q(ends_at__isnull=True), name="subscription_pause_one_open"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="subscription_pause_ends_after_start",
            ),
        ]
        triggers = [Protect(name="pauses_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.subscription}: paused {self.starts_at:%Y-%m-%d}"


class Trial(models.Model):
    """The first days of a subscription, in which its fees are not charged. An organization tries an app once."""

    class Then(models.TextChoices):
        GO_ON = "go_on", "Go on at the plan's price"
        CANCEL = "cancel", "End the subscription"

    subscription = models.OneToOneField(
        "catalog.Subscription", models.PROTECT, primary_key=True, related_name="trial"
    )
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="The first instant that costs a fee.")
    then = models.CharField(max_length=6, choices=Then, default=Then.GO_ON)
    over_at = models.DateTimeField(null=True, blank=True, help_text="When what comes then was done.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "app"], name="trial_once_per_organization_and_app"
            ),
            models.CheckConstraint(condition=Q(ends_at__gte=F("starts_at")), name="trial_ends_after_start"),
        ]
        indexes = [models.Index(fields=["ends_at"], condition=Q(over_at__isnull=True), name="trial_running")]
        triggers = [Protect(name="trials_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.subscription}: trial until {self.ends_at:%Y-%m-%d}"


class PlannedStep(models.Model):
    """A change of plan or an end that was agreed to and comes on its day, unless it is called off before."""

    class Step(models.TextChoices):
        CHANGE = "change", "Change of plan"
        CANCEL = "cancel", "End"

    class State(models.TextChoices):
        PLANNED = "planned"
        DONE = "done"
        CALLED_OFF = "called_off"

    TRANSITIONS: ClassVar[Transitions] = {
        "planned": frozenset({"done", "called_off"}),
        "done": frozenset(),
        "called_off": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="planned_steps")
    step = models.CharField(max_length=6, choices=Step)
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED)
    due_at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)
    planned_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    planned_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription"], condition=Q(state="planned"), name="planned_step_one_waiting"
            ),
            models.CheckConstraint(
                condition=Q(step="change", plan__isnull=False) | Q(step="cancel", plan__isnull=True),
                name="planned_step_has_plan_to_change_to",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="planned"), name="planned_step_due")]
        triggers = [Protect(name="planned_steps_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.get_step_display().lower()} on {self.due_at:%Y-%m-%d}"
