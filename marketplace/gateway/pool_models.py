"""Warm pools: what is kept ready for a class of models, its replicas, and what happened to them."""

from collections.abc import Mapping
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.gateway.pools.policy import WEEK_HOURS, Policy, Profile

WHOLE = 100


def _number(default: int, most: int, *, least: int = 0) -> "models.PositiveIntegerField[int, int]":
    bounds = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveIntegerField(default=default, validators=bounds)


class Pool(models.Model):
    """Servers of one class of models that are kept ready, by a policy that operators set."""

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"

    class Actuator(models.TextChoices):
        LOCAL = "local", "Processes of this machine"
        KUBERNETES = "kubernetes", "Kubernetes: scale of a Deployment"
        RAY = "ray", "Ray Serve: replicas of a deployment"
        NONE = "none", "Nobody: decide and tell only"

    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        State.ACTIVE: frozenset({State.PAUSED}),
        State.PAUSED: frozenset({State.ACTIVE}),
    }

    name = models.SlugField(max_length=40, unique=True)
    model_class = models.CharField(max_length=10)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    provider = models.ForeignKey(
        "gateway.Provider",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="pools",
        help_text="Whose calls go to the replicas; the processes of this machine only.",
    )
    actuator = models.CharField(max_length=10, choices=Actuator, default=Actuator.NONE)
    target_url = models.CharField(max_length=200, blank=True)
    target_namespace = models.CharField(max_length=63, blank=True)
    target_name = models.CharField(max_length=120, blank=True)
    spot_target_name = models.CharField(max_length=120, blank=True)
    token_variable = models.CharField(max_length=60, blank=True)
    instance_type = models.CharField(max_length=40, blank=True)
    spot_instance_type = models.CharField(max_length=40, blank=True)
    restores = models.BooleanField(
        default=False, help_text="Started from a snapshot, by the configured command."
    )

    slots = _number(4, 10_000, least=1)
    least = _number(0, 1000)
    most = _number(4, 1000)
    quantile_percent = _number(90, WHOLE, least=1)
    night_starts = _number(22, 23)
    night_ends = _number(6, 23)
    night_percent = _number(WHOLE, WHOLE)
    weekend_percent = _number(WHOLE, WHOLE)
    full_percent = _number(80, WHOLE, least=10)
    cooldown_s = _number(600, 86_400, least=10)
    lead_s = _number(120, 3600)
    spot_percent = _number(0, WHOLE)
    least_on_demand = _number(0, 1000)
    time_zone = models.CharField(max_length=60, default="UTC")

    profile = models.JSONField(
        default=list, help_text="Calls at a time, in thousandths, by hour of the week."
    )
    profile_weeks = models.PositiveSmallIntegerField(default=0)
    learnt_at = models.DateTimeField(null=True)

    desired_on_demand = models.PositiveIntegerField(default=0)
    desired_spot = models.PositiveIntegerField(default=0)
    short_by = models.PositiveIntegerField(default=0)
    explanation = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True)
    burst_replicas = models.PositiveIntegerField(
        default=0, help_text="The most that calls alone asked for lately."
    )
    burst_until = models.DateTimeField(null=True)
    spot_away_until = models.DateTimeField(null=True)
    trouble = models.TextField(blank=True, help_text="What went wrong the last time; empty when nothing did.")
    leased_until = models.DateTimeField(null=True, help_text="One worker looks after a pool at a time.")
    accounted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(least__lte=F("most")), name="pool_least_at_most_most"),
            models.CheckConstraint(condition=Q(slots__gte=1), name="pool_has_slots"),
            models.CheckConstraint(
                condition=Q(actuator__in=["local", "none"]) | ~Q(target_url="") & ~Q(target_name=""),
                name="pool_remote_has_target",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def policy(self) -> Policy:
        """The policy as the decision takes it."""
        return Policy(
            slots=self.slots, least=self.least, most=self.most, quantile_percent=self.quantile_percent,
            night_starts=self.night_starts, night_ends=self.night_ends, night_percent=self.night_percent,
            weekend_percent=self.weekend_percent, full_percent=self.full_percent, cooldown_s=self.cooldown_s,
            lead_s=self.lead_s, spot_percent=self.spot_percent, least_on_demand=self.least_on_demand,
            zone=ZoneInfo(self.time_zone),
        )  # fmt: skip

    @property
    def learnt(self) -> Profile:
        """The profile that was learnt last."""
        if len(self.profile) != WEEK_HOURS:
            return Profile()
        return Profile(tuple(self.profile), self.profile_weeks)

    @property
    def desired(self) -> int:
        return self.desired_on_demand + self.desired_spot


class PoolReplica(models.Model):
    """One server of a pool, from its start to its end: how long the start took, and whether calls waited for it."""

    class State(models.TextChoices):
        STARTING = "starting"
        READY = "ready"
        DRAINING = "draining"
        ENDED = "ended"
        LOST = "lost"

    LIVING = (State.STARTING, State.READY, State.DRAINING)
    SERVING = (State.STARTING, State.READY)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    pool = models.ForeignKey("gateway.Pool", models.CASCADE, related_name="replicas")
    number = models.PositiveIntegerField()
    is_spot = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State, default=State.STARTING)
    handle = models.CharField(max_length=120, blank=True, help_text="What its actuator finds it by.")
    address = models.CharField(max_length=120, blank=True)
    is_restored = models.BooleanField(default=False)
    is_awaited = models.BooleanField(default=False, help_text="Calls were waiting when it was started.")
    started_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    start_ms = models.PositiveIntegerField(null=True)
    draining_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["pool", "number"],
                condition=Q(state__in=["starting", "ready", "draining"]),
                name="pool_replica_one_living",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["starting", "ready", "draining"]) | Q(ended_at__isnull=False),
                name="pool_replica_ended_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="ready") | Q(start_ms__isnull=False), name="pool_replica_ready_was_timed"
            ),
        ]
        indexes = [models.Index(fields=["pool", "-started_at"], name="pool_replica_by_start")]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_pool_replicas")]

    def __str__(self) -> str:
        return f"{self.pool}-{self.number}"


class PoolEvent(models.Model):
    """Something that happened to a pool, for people to read."""

    class Kind(models.TextChoices):
        SCALED = "scaled"
        STARTED = "started"
        LOST = "lost"
        SPOT_AWAY = "spot_away"
        TROUBLE = "trouble"
        CHANGED = "changed"

    pool = models.ForeignKey("gateway.Pool", models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=Kind)
    text = models.TextField()
    replicas = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["pool", "-at"], name="pool_event_by_time")]

    def __str__(self) -> str:
        return self.text


class PoolHour(models.Model):
    """One hour of a pool: time that replicas were kept, and how much of it was short."""

    pool = models.ForeignKey("gateway.Pool", models.CASCADE, related_name="hours")
    hour = models.DateTimeField()
    on_demand_ms = models.BigIntegerField(default=0)
    spot_ms = models.BigIntegerField(default=0)
    looked_ms = models.BigIntegerField(default=0, help_text="Time of the hour that was looked at.")
    short_ms = models.BigIntegerField(default=0, help_text="The part of it in which calls had to wait.")
    peak_milli_calls = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "hour"], name="pool_hour_once")]

    def __str__(self) -> str:
        return f"{self.pool} {self.hour:%Y-%m-%d %H}"
