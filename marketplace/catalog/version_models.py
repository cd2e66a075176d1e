"""What comes to those who are subscribed: another price from a date on, or the end of an app."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions

ENDED: frozenset[str] = frozenset()


class PriceChange(Proposal):
    """That subscribers of an app go over to another plan. A rise is approved by a second person and begins after notice."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ANNOUNCED = "announced"
        DONE = "done"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"announced", "rejected", "withdrawn"}),
        "announced": frozenset({"done", "withdrawn"}),
        "done": ENDED,
        "rejected": ENDED,
        "withdrawn": ENDED,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="price_changes")
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="price_changes")
    old_plan = models.ForeignKey("catalog.Plan", models.PROTECT, related_name="+")
    new_plan = models.ForeignKey("catalog.Plan", models.PROTECT, related_name="+")
    is_rise = models.BooleanField()
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    starts_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app"],
                condition=Q(state__in=["proposed", "announced"]),
                name="price_change_one_open",
            ),
            four_eyes("price_change", decided=["rejected"])[0],
            models.CheckConstraint(
                condition=Q(is_rise=False)
                | ~Q(state__in=["announced", "done"])
                | Q(decided_by__isnull=False, starts_at__gt=F("decided_at")),
                name="price_rise_second_person_and_notice",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["announced", "done"]) | Q(starts_at__isnull=False),
                name="price_change_has_start",
            ),
            models.CheckConstraint(
                condition=~Q(old_plan=F("new_plan")), name="price_change_changes_something"
            ),
        ]

    def __str__(self) -> str:
        return f"Price change of {self.app}"


class Deprecation(models.Model):
    """That an app ends at a date, and which app takes its place. Subscribers are told; calls say so."""

    class State(models.TextChoices):
        ANNOUNCED = "announced"
        WITHDRAWN = "withdrawn"
        ENDED = "ended"

    TRANSITIONS: ClassVar[Transitions] = {
        "announced": frozenset({"withdrawn", "ended"}),
        "withdrawn": ENDED,
        "ended": ENDED,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="deprecations")
    successor = models.ForeignKey("catalog.App", models.SET_NULL, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.ANNOUNCED)
    reason = models.TextField()
    announced_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    announced_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app"], condition=Q(state="announced"), name="deprecation_one_open"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("announced_at")), name="deprecation_ends_later"),
            models.CheckConstraint(
                condition=Q(successor__isnull=True) | ~Q(successor=F("app")),
                name="deprecation_other_successor",
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_deprecations")]

    def __str__(self) -> str:
        return f"End of {self.app}"
