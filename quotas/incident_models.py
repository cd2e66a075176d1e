"""Incidents of apps that run away, what was found in which hour, and the policy that says what is unusual."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Before, Condition, Delete, Insert, Protect, Row, Trigger, Update, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.money import exact
from marketplace.core.transitions import Transitions

DAYS_OF_MONTH = 30

# Whoever writes: what was stopped runs again only through somebody who does not own the app. A person's teams are not in
# the row, so a CHECK cannot see them.
RESUMED_BY_ANOTHER = """
IF OLD.state IN ('throttled', 'paused') AND NEW.state NOT IN ('throttled', 'paused', 'resumed') THEN
    RAISE EXCEPTION 'an app that was stopped is resumed before its incident ends' USING ERRCODE = 'check_violation';
END IF;
IF NEW.state = 'resumed' AND OLD.state <> 'resumed' AND (
    NEW.resumed_by_id IS NULL OR EXISTS (
        SELECT FROM accounts_membership m JOIN catalog_app a ON a.owner_team_id = m.team_id
        WHERE a.id = NEW.app_id AND m.user_id = NEW.resumed_by_id)
) THEN
    RAISE EXCEPTION 'nobody resumes an app of their own team' USING ERRCODE = 'check_violation';
END IF;
RETURN NEW;
"""


class IncidentPolicy(models.Model):
    """From where on something is an incident, as one version: proposed, then put in force by a second person."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ACTIVE = "active"
        REPLACED = "replaced"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"active", "rejected", "withdrawn"}),
        "active": frozenset({"replaced"}),
        "replaced": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    number = models.PositiveIntegerField(primary_key=True, help_text="Of the version; counts from 1.")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    thresholds = models.JSONField(help_text="Every threshold by its name, as text.")
    reason = models.TextField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_note = models.TextField(blank=True)
    dry_run = models.JSONField(default=dict, help_text="What it would have found, as it was decided on.")

    class Meta:
        verbose_name_plural = "incident policies"
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state__in=["proposed", "active"]),
                name="incident_policy_one_of_each",
            ),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("proposed_by")),
                name="incident_policy_four_eyes",
                violation_error_message="Nobody decides their own proposal.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["active", "replaced", "rejected"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="incident_policy_decided_has_decider",
            ),
        ]
        triggers = [
            Protect(
                name="policy_stays", operation=UpdateOf("number", "thresholds", "proposed_by_id") | Delete
            )
        ]

    def __str__(self) -> str:
        return f"incident policy {self.number}"


class Incident(models.Model):
    """An app that brings far more than usual: what was found, what is done about it, and who says when it is over.

    Amounts are of 24 hours, in ``currency``; for ``requests`` and ``errors`` they are numbers of calls. Of what a state
    does, the rows of ``IncidentLimit`` and the gateway's directory speak: throttled has a limit, paused answers 503.
    """

    class Kind(models.TextChoices):
        COST = "cost"
        REQUESTS = "requests"
        ERRORS = "errors"

    class State(models.TextChoices):
        OPEN = "open"
        THROTTLED = "throttled"
        PAUSED = "paused"
        ACKNOWLEDGED = "acknowledged"
        RESUMED = "resumed"
        CLOSED = "closed"

    # Acknowledged is a notice that somebody looks after. What was stopped ends only by way of resumed.
    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"throttled", "paused", "acknowledged", "closed"}),
        "acknowledged": frozenset({"throttled", "paused", "closed"}),
        "throttled": frozenset({"paused", "resumed"}),
        "paused": frozenset({"resumed"}),
        "resumed": frozenset({"throttled", "paused", "closed"}),
        "closed": frozenset(),
    }
    STOPPED: ClassVar[frozenset[str]] = frozenset({"throttled", "paused"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="incidents")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.COST)
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    currency = models.CharField(max_length=3, blank=True)
    policy = models.ForeignKey("quotas.IncidentPolicy", models.PROTECT, null=True, related_name="incidents")
    first_seen_at = models.DateTimeField(help_text="End of the first hour in which it was found.")
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(help_text="End of the last hour in which it was found.")
    actual = models.DecimalField(max_digits=38, decimal_places=18)
    expected = models.DecimalField(max_digits=38, decimal_places=18)
    highest = models.DecimalField(
        max_digits=38, decimal_places=18, help_text="Highest 24 hours before; of silence, the lowest."
    )
    usual_until = models.DateTimeField(
        null=True, help_text="End of the 24 hours that are the usual; null where nothing was known before."
    )
    is_new_app = models.BooleanField(default=False, help_text="Judged by absolute caps.")
    volume = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    mix = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    price = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    evidence = models.JSONField(default=list, help_text="Sentences that say why each answer was given.")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    stopped_at = models.DateTimeField(
        null=True, help_text="When it was throttled or paused, the last time it ran before."
    )
    resumed_at = models.DateTimeField(null=True)
    resumed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, related_name="+", help_text="Null: by itself, when quiet."
    )
    explanation = models.TextField(blank=True)
    escalations = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["app", "-opened_at"], name="incident_by_app")]
        constraints = [
            models.UniqueConstraint(
                fields=["app"], condition=~Q(state="closed"), name="incident_one_open_of_app"
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False)
                | (~Q(state="closed") & Q(closed_at=None)),
                name="incident_closed_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="resumed") | Q(resumed_by__isnull=False, resumed_at__isnull=False),
                name="incident_resumed_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(kind="cost") | Q(currency__regex="^[A-Z]{3}$"), name="incident_cost_has_currency"
            ),
            models.CheckConstraint(
                condition=Q(volume=None, mix=None, price=None)
                | Q(actual=F("expected") + F("volume") + F("mix") + F("price")),
                name="incident_split_adds_up",
            ),
        ]
        triggers = [
            Protect(name="incidents_stay", operation=Delete),
            Trigger(
                name="resumed_by_another",
                when=Before,
                operation=Update,
                level=Row,
                func=RESUMED_BY_ANOTHER,
            ),
            # The gateway remembers callers of an app: they are looked up again when it pauses or goes on.
            Trigger(
                name="epoch_of_paused",
                when=After,
                operation=Insert | UpdateOf("state"),
                level=Row,
                func=epochs.raise_epoch(epochs.DIRECTORY, name="epoch").func,
                condition=Condition("NEW.state IN ('paused', 'resumed')"),
            ),
        ]

    def __str__(self) -> str:
        return f"incident of {self.app}"

    @property
    def is_open(self) -> bool:
        return self.state != self.State.CLOSED

    @property
    def is_stopped(self) -> bool:
        return self.state in self.STOPPED

    @property
    def monthly_effect(self) -> Decimal | None:
        """What thirty days like the last one would cost above the usual; None when it is not about money."""
        if self.kind != self.Kind.COST:
            return None
        with exact():
            return (self.actual - self.expected) * DAYS_OF_MONTH

    def age_s(self, at: datetime) -> int:
        """How long it took, or takes."""
        return int(((self.closed_at or at) - self.opened_at).total_seconds())


class IncidentFinding(models.Model):
    """What was found of an incident in one hour."""

    incident = models.ForeignKey("quotas.Incident", models.CASCADE, related_name="findings")
    hour = models.DateTimeField()
    level = models.PositiveSmallIntegerField(choices=[(1, "notice"), (2, "throttle"), (3, "pause")])
    actual = models.DecimalField(max_digits=38, decimal_places=18)
    expected = models.DecimalField(max_digits=38, decimal_places=18)
    highest = models.DecimalField(max_digits=38, decimal_places=18)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["incident", "hour"], name="incident_finding_once"),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id} {self.hour:%Y-%m-%d %H}"


class DetectorRun(models.Model):
    """That an hour was judged; whoever judges it a second time changes nothing."""

    hour = models.DateTimeField(primary_key=True)
    ran_at = models.DateTimeField()
    judged_apps = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}"


class IncidentLimit(models.Model):
    """A limit that came with an incident and goes with it: the reduced rate, or the ceiling after it was resumed."""

    class Purpose(models.TextChoices):
        THROTTLE = "throttle"
        CEILING = "ceiling"

    incident = models.ForeignKey("quotas.Incident", models.PROTECT, related_name="limits")
    limit = models.OneToOneField("quotas.Limit", models.PROTECT, related_name="of_incident")
    purpose = models.CharField(max_length=8, choices=Purpose)

    def __str__(self) -> str:
        return f"{self.purpose} of {self.incident_id}"


class ExpectedUsage(models.Model):
    """That somebody expects an app to bring more for a time: up to an amount a day, detectors keep quiet about it."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="expected_usage")
    incident = models.ForeignKey("quotas.Incident", models.CASCADE, null=True, related_name="expectations")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    up_to = models.DecimalField(max_digits=38, decimal_places=18, help_text="In 24 hours.")
    currency = models.CharField(max_length=3, blank=True, help_text="Empty: a number of requests.")
    reason = models.TextField()
    marked_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")

    class Meta:
        verbose_name_plural = "expected usage"
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="expected_usage_lasts"),
            models.CheckConstraint(condition=Q(up_to__gt=0), name="expected_usage_is_bounded"),
        ]

    def __str__(self) -> str:
        return f"up to {self.up_to.normalize():f} until {self.ends_at:%Y-%m-%d}"
