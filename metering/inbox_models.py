"""Usage that could not be attributed, kept until somebody says whose it is; and the rules that say so."""

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Insert, Protect, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7

MOST_OPEN = 100_000


class Field(models.TextChoices):
    """Which field of an event named something unknown."""

    SUBSCRIPTION = "subscription"
    COST_CENTER = "cost_center", "Cost center"
    OWNER = "owner"
    APP = "app_id", "App"


class Inbox(models.Model):
    """What is kept of one app. Its row is held by whoever keeps or ends events of the app, so that the bound holds.

    The first event that is kept of an app makes it, and only apps that have one are looked after when usage is recorded.
    """

    app = models.OneToOneField("catalog.App", models.CASCADE, primary_key=True, related_name="inbox")
    open_events = models.PositiveIntegerField(default=0)
    not_kept = models.BigIntegerField(
        default=0, help_text="Events that came when it was full, or were open for too long."
    )

    class Meta:
        verbose_name_plural = "inboxes"
        constraints = [
            models.CheckConstraint(
                condition=Q(open_events__gte=0, open_events__lte=MOST_OPEN), name="inbox_bounded"
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_inboxes", operation=Insert)]

    def __str__(self) -> str:
        return f"Inbox of {self.app}"


class UnattributedGroup(models.Model):
    """Kept events of an app that name the same unknown thing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    code = models.CharField(max_length=40, help_text="Why its events were rejected.")
    field = models.CharField(max_length=20, choices=Field)
    value = models.CharField(max_length=80, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    assignee = models.ForeignKey("accounts.User", models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name = "group of unattributed usage"
        constraints = [
            models.UniqueConstraint(fields=["app", "field", "value"], name="unattributed_group_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.get_field_display()} {self.value!r} of {self.app}"


class KeptEvent(models.Model):
    """An event that was rejected for what it names, as it was sent; counted once it is known whose it is."""

    class State(models.TextChoices):
        OPEN = "open"
        COUNTED = "counted"
        DISMISSED = "dismissed"

    id = models.BigAutoField(primary_key=True)
    group = models.ForeignKey(
        "metering.UnattributedGroup", models.CASCADE, db_index=False, related_name="events"
    )
    app = models.ForeignKey("catalog.App", models.CASCADE, db_index=False, related_name="+")
    event_id = models.CharField(max_length=128)
    content_hash = models.BinaryField(max_length=16)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    body = models.TextField(help_text="JSON, as it was read.")
    tokens = models.BigIntegerField()
    estimated_cost = models.DecimalField(
        max_digits=38, decimal_places=18, help_text="At the prices in force when it came."
    )
    currency = models.CharField(max_length=3)
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, db_index=False, related_name="+")
    environment = models.CharField(max_length=10, help_text="Of the key.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    ended_at = models.DateTimeField(null=True)
    trouble = models.CharField(
        max_length=300, blank=True, help_text="Why it could not be counted when that was tried."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "event_id", "content_hash"], name="kept_event_once"),
            models.CheckConstraint(
                condition=Q(state="open", ended_at=None) | (~Q(state="open") & Q(ended_at__isnull=False)),
                name="kept_event_ended_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["group", "state", "id"], name="kept_event_by_group"),
            models.Index(fields=["app", "event_id"], condition=Q(state="open"), name="kept_event_open"),
            models.Index(fields=["received_at"], name="kept_event_by_time"),
        ]
        triggers = [
            Protect(
                name="kept_body_stays", operation=UpdateOf("body", "event_id", "content_hash", "occurred_at")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class AttributionRule(models.Model):
    """What an unknown name in reported usage stands for, since somebody said so, until somebody ends it.

    A name that is known is never replaced. Without an app it holds for all apps of the organization's teams.
    """

    class Target(models.TextChoices):
        COST_CENTER = "cost_center", "A cost center"
        SUBSCRIPTION = "subscription", "A subscription"
        AS_UNNAMED = "as_unnamed", "As if it were not named"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    app = models.ForeignKey("catalog.App", models.CASCADE, null=True, blank=True, related_name="+")
    field = models.CharField(max_length=20, choices=Field)
    value = models.CharField(max_length=80, blank=True)
    target = models.CharField(max_length=20, choices=Target)
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="+"
    )
    subscription = models.ForeignKey(
        "catalog.Subscription", models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["organization", "-starts_at"], name="attribution_rule_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "app", "field", "value"],
                condition=Q(ends_at=None),
                name="attribution_rule_one_in_force",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None, ended_by=None)
                | Q(ends_at__gte=F("starts_at"), ended_by__isnull=False),
                name="attribution_rule_ended_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(
                    target="cost_center", field="cost_center", cost_center__isnull=False, subscription=None
                )
                | Q(
                    target="subscription",
                    field="subscription",
                    cost_center=None,
                    subscription__isnull=False,
                    app__isnull=False,
                )
                | Q(target="as_unnamed", cost_center=None, subscription=None),
                name="attribution_rule_has_its_target",
            ),
        ]
        triggers = [
            Protect(
                name="rule_stays",
                operation=UpdateOf(
                    "app_id", "field", "value", "target", "cost_center_id", "subscription_id", "starts_at"
                )
                | Delete,
            ),
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_attribution_rules"),
        ]

    def __str__(self) -> str:
        return f"{self.get_field_display()} {self.value!r}"
