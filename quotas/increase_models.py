"""Asking for more: requests, the decisions on them, and what was granted."""

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions
from quotas.increase_policy_models import IncreasePolicy
from quotas.increase_triggers import asked_once, four_eyes, grant_ends_once

__all__ = ["Grant", "GrantedLimit", "IncreaseDecision", "IncreasePolicy", "IncreaseRequest"]
OWNER_KINDS = ("organization", "cost_center", "team", "app", "subscription", "key")
OPEN = ("submitted", "cost_review", "capacity_review", "needs_info")
REVIEWS = ("cost_review", "capacity_review")
GRANTED = ("approved", "partially_approved", "auto_approved")
NO_STATES: frozenset[str] = frozenset()


def _one_owner() -> Q:
    """Exactly one of the owner columns is set."""
    one = Q()
    for owner in OWNER_KINDS:
        one |= Q(**{f"{kind}__isnull": kind != owner for kind in OWNER_KINDS})
    return one


class IncreaseRequest(models.Model):
    """Somebody wants a higher limit: what they ask for, why, and what became of it.

    ``requested`` is what they want, ``granted`` what they get, ``state`` where it stands. The subject is an owner with
    a measure and a window; of each, one request at a time is open.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        SUBMITTED = "submitted"
        COST_REVIEW = "cost_review"
        CAPACITY_REVIEW = "capacity_review"
        NEEDS_INFO = "needs_info"
        APPROVED = "approved"
        PARTIALLY_APPROVED = "partially_approved"
        AUTO_APPROVED = "auto_approved"
        DENIED = "denied"
        WITHDRAWN = "withdrawn"
        SUPERSEDED = "superseded"
        EXPIRED = "expired"

    _SIDE_EXITS: ClassVar[frozenset[str]] = frozenset({"denied", "withdrawn", "superseded", "expired"})
    TRANSITIONS: ClassVar[Transitions] = {
        "draft": frozenset({"submitted", "withdrawn"}),
        "submitted": frozenset({"auto_approved", "cost_review", "capacity_review"}),
        "cost_review": _SIDE_EXITS | {"capacity_review", "needs_info", "approved", "partially_approved"},
        "capacity_review": _SIDE_EXITS | {"needs_info", "approved", "partially_approved"},
        "needs_info": frozenset({"cost_review", "capacity_review", "withdrawn", "superseded", "expired"}),
        "approved": NO_STATES,
        "partially_approved": NO_STATES,
        "auto_approved": NO_STATES,
        "denied": NO_STATES,
        "withdrawn": NO_STATES,
        "superseded": NO_STATES,
        "expired": NO_STATES,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, null=True, related_name="+")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, null=True, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, related_name="+")
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, null=True, related_name="+")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, related_name="+")
    measure = models.CharField(max_length=12)
    window = models.CharField(max_length=6)
    model_class = models.CharField(
        max_length=10, blank=True, default="", help_text="Of a limit of one class of models; empty: of all."
    )
    environment = models.CharField(max_length=10, blank=True)
    charged_organization = models.ForeignKey(
        "accounts.Organization",
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Who pays for more; empty when many do.",
    )
    charged_cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, related_name="+"
    )
    state = models.CharField(max_length=20, choices=State, default=State.DRAFT)
    current_value = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        help_text="The limit when it was submitted, at the time it is asked for.",
    )
    requested = models.DecimalField(max_digits=38, decimal_places=18)
    granted = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    currency = models.CharField(
        max_length=3, help_text="Of projections, and of the limit when it is one of cost."
    )
    reason = models.TextField()
    monthly_calls = models.DecimalField(
        max_digits=38, decimal_places=18, help_text="As the requester projects."
    )
    monthly_cost = models.DecimalField(
        max_digits=38, decimal_places=18, help_text="As the requester projects."
    )
    starts_at = models.DateTimeField(null=True, help_text="Null: once it is approved.")
    ends_at = models.DateTimeField(null=True, help_text="Null: until it is revoked.")
    extends = models.ForeignKey("quotas.Grant", models.PROTECT, null=True, related_name="extensions")
    requester = models.ForeignKey("accounts.User", models.PROTECT, related_name="increase_requests")
    idempotency_key = models.CharField(max_length=200, null=True)
    policy = models.ForeignKey("quotas.IncreasePolicy", models.PROTECT, null=True, related_name="requests")
    needs_two_people = models.BooleanField(default=True)
    levels = models.JSONField(default=list, help_text="The reviews that the policy asks for.")
    verdict = models.JSONField(default=dict, help_text="What the policy looked at, and what each rule said.")
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True)
    remind_at = models.DateTimeField(null=True)
    escalate_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(
        null=True, help_text="Since when its clock stands still, for a question."
    )
    stopped_level = models.CharField(
        max_length=20, blank=True, help_text="The review that goes on after the answer."
    )
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "expires_at"], name="increase_by_state"),
            models.Index(fields=["requester", "-created_at"], name="increase_by_requester"),
            models.Index(fields=["-created_at"], name="increase_by_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=_one_owner(), name="increase_has_one_owner"),
            models.UniqueConstraint(
                fields=[*OWNER_KINDS, "measure", "window", "model_class", "environment"],
                condition=Q(state__in=OPEN),
                nulls_distinct=False,
                name="increase_one_open_of_subject",
            ),
            models.UniqueConstraint(fields=["requester", "idempotency_key"], name="increase_idempotency_key"),
            models.CheckConstraint(
                condition=Q(
                    requested__gte=0, monthly_calls__gte=0, monthly_cost__gte=0, current_value__gte=0
                ),
                name="increase_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(state__in=GRANTED, granted__isnull=False)
                | (~Q(state__in=GRANTED) & Q(granted__isnull=True)),
                name="increase_granted_has_value",
            ),
            models.CheckConstraint(
                condition=Q(granted__isnull=True) | Q(granted__lte=F("requested")),
                name="increase_grants_at_most_what_is_asked",
            ),
            models.CheckConstraint(
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="increase_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(state="needs_info", stopped_at__isnull=False, stopped_level__in=REVIEWS)
                | ~Q(state="needs_info"),
                name="increase_question_stops_clock",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "withdrawn"])
                | Q(
                    submitted_at__isnull=False,
                    remind_at__isnull=False,
                    escalate_at__isnull=False,
                    expires_at__isnull=False,
                ),
                name="increase_submitted_has_dates",
            ),
        ]
        triggers = [Protect(name="increase_stays", operation=Delete), asked_once()]

    def __str__(self) -> str:
        return f"request for {self.requested.normalize():f} {self.measure} a {self.window}"

    @property
    def owner_kind(self) -> str:
        return next(kind for kind in OWNER_KINDS if getattr(self, f"{kind}_id") is not None)

    @property
    def owner_id(self) -> Any:
        return getattr(self, f"{self.owner_kind}_id")

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_under_review(self) -> bool:
        return self.state in REVIEWS

    @property
    def answer_by(self) -> datetime | None:
        """Until when an open question can be answered: it may stand as long as the whole request may wait."""
        if self.state != self.State.NEEDS_INFO or not (
            self.stopped_at and self.expires_at and self.submitted_at
        ):
            return None
        return self.stopped_at + (self.expires_at - self.submitted_at)

    @property
    def is_decrease(self) -> bool:
        return self.requested <= self.current_value


class IncreaseDecision(models.Model):
    """What one person, or the policy, decided on one level of a request; with what was shown to them."""

    class Level(models.TextChoices):
        POLICY = "policy"
        COST_REVIEW = "cost_review"
        CAPACITY_REVIEW = "capacity_review"

    class Verdict(models.TextChoices):
        APPROVED = "approved"
        DENIED = "denied"
        ASKED = "asked"

    request = models.ForeignKey("quotas.IncreaseRequest", models.PROTECT, related_name="decisions")
    level = models.CharField(max_length=20, choices=Level)
    verdict = models.CharField(max_length=10, choices=Verdict)
    decider = models.ForeignKey(
        "accounts.User",
        models.PROTECT,
        null=True,
        related_name="increase_decisions",
        help_text="Empty: the policy.",
    )
    acting_for = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    granted = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    snapshot = models.JSONField(default=dict, help_text="Projection, head-room and rules as they were shown.")
    policy = models.ForeignKey("quotas.IncreasePolicy", models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-decided_at"], name="increase_decision_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["request", "level"],
                condition=~Q(verdict="asked"),
                name="increase_decision_one_of_level",
            ),
            models.CheckConstraint(
                condition=Q(level="policy", decider__isnull=True, acting_for__isnull=True)
                | (~Q(level="policy") & Q(decider__isnull=False)),
                name="increase_decision_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(acting_for__isnull=True) | ~Q(acting_for=F("decider")),
                name="increase_decision_for_another",
            ),
            models.CheckConstraint(
                condition=Q(verdict="approved", granted__isnull=False)
                | (~Q(verdict="approved") & Q(granted__isnull=True)),
                name="increase_decision_approved_has_value",
            ),
            models.CheckConstraint(
                condition=Q(verdict="approved") | ~Q(reason=""), name="increase_decision_has_reason"
            ),
        ]
        triggers = [Protect(name="decision_stays", operation=Update | Delete), four_eyes()]

    def __str__(self) -> str:
        return f"{self.level} of {self.request_id}: {self.verdict}"


class Grant(models.Model):
    """What a request was granted: a value, for a time. It lifts limits by itself while it lasts; see ``quotas.lifts``.

    ``ends_at`` is what was agreed, ``lapses_at`` when it ends or has ended: sooner when it was revoked. The state
    follows time by a routine; limits do not wait for it.
    """

    class State(models.TextChoices):
        SCHEDULED = "scheduled"
        ACTIVE = "active"
        ENDED = "ended"
        REVOKED = "revoked"

    TRANSITIONS: ClassVar[Transitions] = {
        "scheduled": frozenset({"active", "ended", "revoked"}),
        "active": frozenset({"ended", "revoked"}),
        "ended": NO_STATES,
        "revoked": NO_STATES,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.OneToOneField("quotas.IncreaseRequest", models.PROTECT, related_name="grant")
    value = models.DecimalField(max_digits=38, decimal_places=18)
    state = models.CharField(max_length=10, choices=State, default=State.SCHEDULED)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    lapses_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    limits = models.ManyToManyField("quotas.Limit", through="quotas.GrantedLimit", related_name="grants")

    class Meta:
        indexes = [
            models.Index(
                fields=["lapses_at"], name="grant_running", condition=Q(state__in=["scheduled", "active"])
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(value__gte=0), name="grant_not_negative"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="grant_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(lapses_at__isnull=True) | Q(lapses_at__gte=F("starts_at")),
                name="grant_lapses_after_start",
            ),
        ]
        triggers = [
            Protect(name="grant_stays", operation=Delete),
            grant_ends_once(),
            epochs.raise_epoch(epochs.LIMITS, name="epoch_of_grants"),
        ]

    def __str__(self) -> str:
        return f"grant of {self.value.normalize():f}"


class GrantedLimit(models.Model):
    """A limit that a grant lifts. Whoever sets that limit by hand later has the last word: then it lifts it no more."""

    grant = models.ForeignKey("quotas.Grant", models.PROTECT, related_name="lifted")
    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="lifted_by")
    overruled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grant", "limit"], name="granted_limit_unique")]
        triggers = [epochs.raise_epoch(epochs.LIMITS, name="epoch_of_granted_limits")]

    def __str__(self) -> str:
        return f"limit {self.limit_id} by grant {self.grant_id}"
