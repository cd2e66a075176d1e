"""Route policies of apps, models that need an approval, and what became of routed calls."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Protect, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions


class RoutePolicy(models.Model):
    """One version of the table by which an app's calls find their model. Its rows never change: a new table is a new version."""

    class Mode(models.TextChoices):
        SHADOW = "shadow", "Shadow: decides, and does not act"
        PART = "part", "Part of the calls"
        ALL = "all", "All calls"

    class State(models.TextChoices):
        IN_FORCE = "in_force"
        REPLACED = "replaced"
        ENDED = "ended"

    class Split(models.TextChoices):
        SUBSCRIPTION = "subscription", "Whole subscriptions"
        REQUEST = "request", "Single calls"

    TRANSITIONS: ClassVar[Transitions] = {
        "in_force": frozenset({"replaced", "ended"}),
        "replaced": frozenset(),
        "ended": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="route_policies")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.IN_FORCE)
    rows = models.JSONField(help_text="Conditions and what is used, in order; see gateway.routing.table.")
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.SHADOW)
    percent = models.PositiveSmallIntegerField(default=100, help_text="Of calls that the policy decides.")
    split_by = models.CharField(max_length=12, choices=Split, default=Split.SUBSCRIPTION)
    quality_floor = models.PositiveSmallIntegerField(
        default=95, help_text="Percent of the strong models' quality that is kept."
    )
    note = models.CharField(max_length=400, blank=True)
    projection = models.JSONField(default=dict, help_text="The dry run that was on the page.")
    saved_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    saved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "number"], name="route_policy_number_unique"),
            models.UniqueConstraint(
                fields=["app"], condition=Q(state="in_force"), name="route_policy_one_in_force"
            ),
            models.CheckConstraint(
                condition=Q(percent__gte=1, percent__lte=100) & (Q(mode="part") | Q(percent=100)),
                name="route_policy_percent",
            ),
            models.CheckConstraint(
                condition=Q(quality_floor__gte=50, quality_floor__lte=100), name="route_policy_floor"
            ),
        ]
        triggers = [
            Protect(
                name="route_policy_stays",
                operation=UpdateOf(
                    "app_id", "number", "rows", "mode", "percent", "split_by", "quality_floor", "saved_by_id"
                ),
            ),
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_route_policies"),
        ]

    def __str__(self) -> str:
        return f"{self.app} route policy {self.number}"


class DearRule(models.Model):
    """From when on which models need an approval for each app: those of some classes, or whose output costs so much."""

    model_classes = models.JSONField(default=list)
    output_per_mtok_from = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    starts_at = models.DateTimeField()
    reason = models.TextField()
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(starts_at__gte=F("set_at")), name="dear_rule_not_backdated"),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_dear_rules")]

    def __str__(self) -> str:
        return f"dear models from {self.starts_at:%Y-%m-%d}"


class DearModel(Proposal):
    """The wish of an app's makers to use a dear model, and what a second person decided."""

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

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="dear_models")
    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    ends_at = models.DateTimeField(null=True, blank=True)
    projection = models.JSONField(default=dict, help_text="What was on the page of whoever decided.")

    class Meta:
        constraints = [
            *four_eyes("dear_model", decided=["approved", "rejected", "ended"]),
            models.UniqueConstraint(
                fields=["app", "model"],
                condition=Q(state__in=["proposed", "approved"]),
                name="dear_model_one_open",
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_dear_models")]

    def __str__(self) -> str:
        return f"{self.model} for {self.app}"


class RouteFeedback(models.Model):
    """What somebody thought of the answer of a routed call, with what was known when it was chosen."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    event_id = models.CharField(max_length=128)
    is_good = models.BooleanField()
    is_strong = models.BooleanField(help_text="Whether it came from one of the strongest models of the app.")
    intent = models.CharField(max_length=40, blank=True)
    difficulty = models.PositiveSmallIntegerField(null=True)
    subscription = models.ForeignKey("catalog.Subscription", models.CASCADE, related_name="+")
    given_by = models.ForeignKey("accounts.User", models.SET_NULL, null=True, related_name="+")
    given_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "event_id"], name="route_feedback_once"),
        ]
        indexes = [models.Index(fields=["app", "given_at"], name="route_feedback_by_time")]

    def __str__(self) -> str:
        return f"{self.event_id}: {'good' if self.is_good else 'bad'}"


class RouteLearning(models.Model):
    """What feedback has taught of an app: by how much it needs the strong model earlier or later, and its quality."""

    app = models.OneToOneField("catalog.App", models.CASCADE, primary_key=True, related_name="+")
    offset = models.SmallIntegerField(default=0, help_text="Added to the threshold of difficulty.")
    is_strong_only = models.BooleanField(default=False, help_text="Measured quality is under the floor.")
    quality = models.PositiveSmallIntegerField(
        null=True, help_text="Percent of the strong models', as measured."
    )
    given = models.PositiveIntegerField(default=0)
    learned_at = models.DateTimeField(help_text="When the threshold last moved.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(offset__gte=-40, offset__lte=40), name="route_learning_offset_bounded"
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_route_learning")]

    def __str__(self) -> str:
        return f"learned of {self.app}"


class RouteTally(models.Model):
    """Routed calls of an app on a day: what they cost, and what they would have cost as the policy in shadow wished."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    day = models.DateField()
    policy_number = models.PositiveIntegerField()
    intent = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=80)
    would_model = models.CharField(max_length=80, blank=True, help_text="Empty where the policy acted.")
    currency = models.CharField(max_length=3)
    calls = models.BigIntegerField()
    cost = models.DecimalField(max_digits=38, decimal_places=18)
    would_cost = models.DecimalField(max_digits=38, decimal_places=18)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "day", "policy_number", "intent", "model", "would_model", "currency"],
                name="route_tally_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_id} {self.day} {self.model}"
