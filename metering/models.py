"""Usage facts and what rates them. Events and closed periods are only ever added."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions
from metering import inbox_models as inbox_models  # registers its tables
from metering import price_triggers


class LanguageModel(models.Model):
    """A name in the model catalogue. What it costs is said by its rate cards."""

    class ModelClass(models.TextChoices):
        TINY = "tiny"
        SMALL = "small"
        MEDIUM = "medium"
        LARGE = "large"
        EMBEDDING = "embedding"

    name = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    model_class = models.CharField(max_length=10, choices=ModelClass)
    context_tokens = models.PositiveIntegerField(default=8192)
    is_active = models.BooleanField(default=True)
    is_ceiling = models.BooleanField(
        default=False,
        help_text="Stands for every model without a price; its rate cards are the ceiling price.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_ceiling"], condition=Q(is_ceiling=True), name="language_model_one_ceiling"
            ),
            models.CheckConstraint(
                condition=Q(is_ceiling=False) | Q(is_active=False),
                name="language_model_ceiling_is_not_called",
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_models")]

    def __str__(self) -> str:
        return self.name


class RateCard(models.Model):
    """What a model costs per million tokens of each class, from a date. Never changed: a new price is a new row."""

    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, related_name="rate_cards")
    currency = models.CharField(max_length=3, default="USD")
    input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18)
    cached_input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18)
    cache_write_per_mtok = models.DecimalField(max_digits=38, decimal_places=18)
    output_per_mtok = models.DecimalField(max_digits=38, decimal_places=18)
    reasoning_per_mtok = models.DecimalField(max_digits=38, decimal_places=18)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    source = models.CharField(max_length=200)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="rate_card_one_in_force",
                expressions=[
                    ("model", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(
                    input_per_mtok__gte=0,
                    cached_input_per_mtok__gte=0,
                    cache_write_per_mtok__gte=0,
                    output_per_mtok__gte=0,
                    reasoning_per_mtok__gte=0,
                ),
                name="rate_card_prices_not_negative",
            ),
        ]
        triggers = [
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_rate_cards"),
            price_triggers.ceiling_costs(),
            *price_triggers.fixed_price(used_in="rate_card_id"),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.starts_at:%Y-%m-%d}"


class InstanceRate(models.Model):
    """What an hour of an instance type costs, from a date."""

    instance_type = models.CharField(max_length=40)
    currency = models.CharField(max_length=3, default="USD")
    price_per_hour = models.DecimalField(max_digits=38, decimal_places=18)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    source = models.CharField(max_length=200)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="instance_rate_one_in_force",
                expressions=[
                    ("instance_type", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(price_per_hour__gte=0), name="instance_rate_not_negative"),
        ]
        triggers = [
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_instance_rates"),
            *price_triggers.fixed_price(used_in="instance_rate_id"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_type} from {self.starts_at:%Y-%m-%d}"


class RateProposal(models.Model):
    """A price that somebody wants, until a second person decides: approved, it becomes a rate card or instance rate.

    The subject is named, not pointed to: a model that is not in the catalogue yet is added with its first price.
    """

    class Kind(models.TextChoices):
        MODEL = "model"
        INSTANCE_TYPE = "instance_type"
        CEILING = "ceiling"

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        SUPERSEDED = "superseded"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn", "superseded"}),
        "approved": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
        "superseded": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=20, choices=Kind)
    subject = models.CharField(max_length=80, blank=True, help_text="Name of the model or instance type.")
    state = models.CharField(max_length=20, choices=State, default=State.PROPOSED)
    currency = models.CharField(max_length=3)
    input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    cached_input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    cache_write_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    output_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    reasoning_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    price_per_hour = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    starts_at = models.DateTimeField(null=True, help_text="Null: five minutes after it is approved.")
    reason = models.TextField()
    source = models.CharField(max_length=200)
    model_title = models.CharField(max_length=120, blank=True, help_text="Of a model to add; else empty.")
    model_class = models.CharField(max_length=10, choices=LanguageModel.ModelClass, blank=True)
    context_tokens = models.PositiveIntegerField(null=True)
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)
    projection = models.JSONField(default=dict, help_text="What it changes, as it was when it was decided.")
    rate_card = models.OneToOneField(
        "metering.RateCard", models.PROTECT, null=True, blank=True, related_name="proposal"
    )
    instance_rate = models.OneToOneField(
        "metering.InstanceRate", models.PROTECT, null=True, blank=True, related_name="proposal"
    )

    class Meta:
        indexes = [models.Index(fields=["-proposed_at"], name="rate_proposal_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(state="proposed"), name="rate_proposal_one_open"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="rate_proposal_four_eyes",
                violation_error_message="Nobody decides their own proposal.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "rejected"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="rate_proposal_decided_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", rate_card__isnull=False, instance_rate__isnull=True)
                | Q(state="approved", rate_card__isnull=True, instance_rate__isnull=False)
                | (~Q(state="approved") & Q(rate_card__isnull=True, instance_rate__isnull=True)),
                name="rate_proposal_approved_has_price",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind="instance_type",
                    price_per_hour__gte=0,
                    input_per_mtok__isnull=True,
                    cached_input_per_mtok__isnull=True,
                    cache_write_per_mtok__isnull=True,
                    output_per_mtok__isnull=True,
                    reasoning_per_mtok__isnull=True,
                )
                | Q(
                    kind="model",
                    price_per_hour__isnull=True,
                    input_per_mtok__gte=0,
                    cached_input_per_mtok__gte=0,
                    cache_write_per_mtok__gte=0,
                    output_per_mtok__gte=0,
                    reasoning_per_mtok__gte=0,
                )
                | Q(
                    kind="ceiling",
                    subject="",
                    price_per_hour__isnull=True,
                    input_per_mtok__gt=0,
                    cached_input_per_mtok__gt=0,
                    cache_write_per_mtok__gt=0,
                    output_per_mtok__gt=0,
                    reasoning_per_mtok__gt=0,
                ),
                name="rate_proposal_has_its_prices",
            ),
        ]

    def __str__(self) -> str:
        return f"Price of {self.title}"

    @property
    def title(self) -> str:
        """Name what the price is of."""
        return "unknown models (ceiling)" if self.kind == self.Kind.CEILING else self.subject

    @property
    def is_of_tokens(self) -> bool:
        return self.kind != self.Kind.INSTANCE_TYPE

    @property
    def is_free(self) -> bool:
        """Tell whether everything it prices would cost nothing."""
        return not any(self._prices().values())

    def prices_as_text(self) -> dict[str, str]:
        """Write down the prices that it has."""
        return {name: str(price) for name, price in self._prices().items() if price is not None}

    def _prices(self) -> dict[str, Decimal | None]:
        return {
            "input_per_mtok": self.input_per_mtok,
            "cached_input_per_mtok": self.cached_input_per_mtok,
            "cache_write_per_mtok": self.cache_write_per_mtok,
            "output_per_mtok": self.output_per_mtok,
            "reasoning_per_mtok": self.reasoning_per_mtok,
            "price_per_hour": self.price_per_hour,
        }


class Attribution(models.Model):
    """Every dimension of usage, once for each combination; events and roll-ups point here.

    It keeps events slim, and an app that moves to another team keeps its history: new usage gets a new row.
    """

    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="+")
    owner_team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    organization = models.ForeignKey(
        "accounts.Organization",
        models.PROTECT,
        related_name="+",
        help_text="Who pays: of the subscription, else the owner.",
    )
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+", help_text="Who used it.")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="+")
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, null=True, related_name="+")
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, related_name="+")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, related_name="+")
    environment = models.CharField(max_length=10)
    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, null=True, related_name="+")
    model_asked = models.CharField(max_length=80, blank=True)
    instance_type = models.CharField(max_length=40, blank=True)
    feature = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "app",
                    "owner_team",
                    "organization",
                    "team",
                    "cost_center",
                    "subscription",
                    "plan",
                    "key",
                    "environment",
                    "model",
                    "model_asked",
                    "instance_type",
                    "feature",
                ],
                name="attribution_unique",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"attribution {self.pk}"


class EventKey(models.Model):
    """That an app has sent an event of this id, and what it said: what makes every event count once.

    Events are partitioned by time and an id is one whatever the time, so the ids stand in a table of their own.
    """

    pk = models.CompositePrimaryKey("app_id", "event_id")
    app = models.ForeignKey(
        "catalog.App", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event_id = models.CharField(max_length=128)
    content_hash = models.BinaryField(max_length=16)
    occurred_at = models.DateTimeField(help_text="Leads to the partition of the event.")

    class Meta:
        triggers = [Protect(name="never_changed", operation=Update)]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class UsageEvent(models.Model):
    """One piece of usage, counted once: identified by app and event id, whatever its time. Only ever inserted.

    The table is partitioned by the month of ``occurred_at`` (``metering.partitions``). A correction is a row of its
    own that names the event it corrects; its quantities may be negative. Foreign keys carry no constraint in the
    database: the row is written in bulk on the hot path, and ``verify`` proves that every reference holds.
    """

    pk = models.CompositePrimaryKey("app_id", "occurred_at", "event_id")
    app = models.ForeignKey(
        "catalog.App", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event_id = models.CharField(max_length=128)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    period = models.DateField(help_text="First day of the month that bills it.")
    attribution = models.ForeignKey(
        "metering.Attribution", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    requests = models.BigIntegerField(default=1)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(null=True)
    cost = models.DecimalField(max_digits=38, decimal_places=18, help_text="Rated platform cost, unrounded.")
    currency = models.CharField(max_length=3)
    rate_card = models.ForeignKey(
        "metering.RateCard",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    instance_rate = models.ForeignKey(
        "metering.InstanceRate",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    provider_cost = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, help_text="What the provider says it charged."
    )
    is_estimated = models.BooleanField(default=False, help_text="Counted by us: the provider did not say.")
    tags = models.JSONField(null=True)
    corrects = models.CharField(
        max_length=128, null=True, help_text="Id of the event that this row corrects; null for usage itself."
    )

    class Meta:
        indexes = [
            # Only rows that correct something are in it: an event on the hot path does not touch it.
            models.Index(
                fields=["app", "corrects"],
                name="usage_event_corrections",
                condition=Q(corrects__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(corrects__isnull=False)
                | Q(
                    requests__gte=0,
                    input_tokens__gte=0,
                    cached_input_tokens__gte=0,
                    cache_write_tokens__gte=0,
                    output_tokens__gte=0,
                    reasoning_tokens__gte=0,
                    duration_ms__gte=0,
                    cost__gte=0,
                ),
                name="usage_event_not_negative",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class Rerating(models.Model):
    """Usage of a stretch of time that was rated at a wrong price, and the price that should have held.

    A job works out what it would change, a second person decides on that, and another job writes the differences.
    ``done_app``, ``done_at`` and ``done_event_id`` say how far it came: they move with the corrections themselves.
    """

    class Kind(models.TextChoices):
        MODEL = "model"
        INSTANCE_TYPE = "instance_type"

    class State(models.TextChoices):
        PREVIEWING = "previewing"
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        APPLIED = "applied"

    TRANSITIONS: ClassVar[Transitions] = {
        "previewing": frozenset({"proposed", "withdrawn"}),
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": frozenset({"applied"}),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
        "applied": frozenset(),
    }

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind)
    subject = models.CharField(max_length=80, help_text="Name of the model or instance type.")
    state = models.CharField(max_length=20, choices=State, default=State.PREVIEWING)
    starts_at = models.DateTimeField(help_text="Of the usage that is rated anew; included.")
    ends_at = models.DateTimeField(help_text="Excluded.")
    currency = models.CharField(max_length=3)
    input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    cached_input_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    cache_write_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    output_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    reasoning_per_mtok = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    price_per_hour = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    rate_card = models.ForeignKey(
        "metering.RateCard",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The one that should have applied, when its prices were taken.",
    )
    reason = models.TextField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    previewed_at = models.DateTimeField(
        null=True, blank=True, help_text="Usage that arrived later is left alone."
    )
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    applied_events = models.BigIntegerField(default=0)
    applied_difference = models.DecimalField(max_digits=38, decimal_places=18, default=Decimal(0))
    done_app = models.ForeignKey("catalog.App", models.PROTECT, null=True, blank=True, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)
    done_event_id = models.CharField(max_length=128, blank=True)

    class Meta:
        verbose_name = "re-rating"
        indexes = [models.Index(fields=["-proposed_at"], name="rerating_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(state__in=["previewing", "proposed", "approved"]),
                name="rerating_one_open",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="rerating_four_eyes",
                violation_error_message="Nobody decides their own re-rating.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "rejected", "applied"])
                | Q(decided_by__isnull=False, decided_at__isnull=False, previewed_at__isnull=False),
                name="rerating_decided_has_decider",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="rerating_ends_after_start"),
            models.CheckConstraint(
                condition=Q(
                    kind="instance_type",
                    price_per_hour__isnull=False,
                    price_per_hour__gte=0,
                    input_per_mtok__isnull=True,
                    cached_input_per_mtok__isnull=True,
                    cache_write_per_mtok__isnull=True,
                    output_per_mtok__isnull=True,
                    reasoning_per_mtok__isnull=True,
                )
                | Q(
                    kind="model",
                    price_per_hour__isnull=True,
                    # A comparison with NULL would let it pass.
                    input_per_mtok__isnull=False,
                    cached_input_per_mtok__isnull=False,
                    cache_write_per_mtok__isnull=False,
                    output_per_mtok__isnull=False,
                    reasoning_per_mtok__isnull=False,
                    input_per_mtok__gte=0,
                    cached_input_per_mtok__gte=0,
                    cache_write_per_mtok__gte=0,
                    output_per_mtok__gte=0,
                    reasoning_per_mtok__gte=0,
                ),
                name="rerating_has_its_prices",
            ),
        ]

    def __str__(self) -> str:
        return f"Re-rating of {self.subject}"

    @property
    def is_of_tokens(self) -> bool:
        return self.kind == self.Kind.MODEL

    @property
    def is_open(self) -> bool:
        """Tell whether somebody, or a job, still has something to do."""
        return bool(self.TRANSITIONS[self.state])


class ReratingPart(models.Model):
    """What a re-rating would change for one app, payer and billing month: what was decided on, as it was then."""

    rerating = models.ForeignKey("metering.Rerating", models.PROTECT, related_name="parts")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="+")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="+")
    period = models.DateField(help_text="First day of the month that would have billed the difference.")
    events = models.BigIntegerField()
    old_cost = models.DecimalField(max_digits=38, decimal_places=18)
    new_cost = models.DecimalField(max_digits=38, decimal_places=18)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rerating", "organization", "app", "cost_center", "period"],
                name="rerating_part_unique",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.rerating}, part {self.pk}"


class Correction(models.Model):
    """Who changed a recorded event, why, and what it came to; the difference itself is a usage event of its own.

    The newest one of an event says, in its ``new_…`` columns, what counts now.
    """

    class Kind(models.TextChoices):
        AMEND = "amend"
        VOID = "void"
        RERATE = "rerate"

    id = models.BigAutoField(primary_key=True)
    app = models.ForeignKey("catalog.App", models.PROTECT, db_index=False, related_name="+")
    event_id = models.CharField(max_length=128)
    ordinal = models.PositiveIntegerField(help_text="1 for the first correction of an event.")
    correction_id = models.CharField(max_length=128, help_text="Event id of the row with the difference.")
    kind = models.CharField(max_length=10, choices=Kind)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True, help_text="Of a re-rating: it says so itself.")
    idempotency_key = models.CharField(max_length=255, blank=True)
    rerating = models.ForeignKey(
        "metering.Rerating", models.PROTECT, null=True, db_index=False, related_name="corrections"
    )
    period = models.DateField(help_text="First day of the month that bills the difference.")
    currency = models.CharField(max_length=3)
    old_requests = models.BigIntegerField()
    old_input_tokens = models.BigIntegerField()
    old_cached_input_tokens = models.BigIntegerField()
    old_cache_write_tokens = models.BigIntegerField()
    old_output_tokens = models.BigIntegerField()
    old_reasoning_tokens = models.BigIntegerField()
    old_duration_ms = models.BigIntegerField()
    old_cost = models.DecimalField(max_digits=38, decimal_places=18)
    old_provider_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    new_requests = models.BigIntegerField()
    new_input_tokens = models.BigIntegerField()
    new_cached_input_tokens = models.BigIntegerField()
    new_cache_write_tokens = models.BigIntegerField()
    new_output_tokens = models.BigIntegerField()
    new_reasoning_tokens = models.BigIntegerField()
    new_duration_ms = models.BigIntegerField()
    new_cost = models.DecimalField(max_digits=38, decimal_places=18)
    new_provider_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "event_id", "ordinal"], name="correction_ordinal_unique"),
            models.UniqueConstraint(
                fields=["rerating", "app", "event_id"],
                condition=Q(rerating__isnull=False),
                name="correction_once_by_rerating",
            ),
            models.UniqueConstraint(
                fields=["made_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="correction_idempotency_key_unique",
            ),
            models.CheckConstraint(
                condition=Q(
                    new_requests__gte=0,
                    new_input_tokens__gte=0,
                    new_cached_input_tokens__gte=0,
                    new_cache_write_tokens__gte=0,
                    new_output_tokens__gte=0,
                    new_reasoning_tokens__gte=0,
                    new_duration_ms__gte=0,
                    new_cost__gte=0,
                ),
                name="correction_leaves_no_less_than_nothing",
            ),
            models.CheckConstraint(
                condition=Q(kind="rerate", rerating__isnull=False, made_by__isnull=True)
                | (~Q(kind="rerate") & Q(rerating__isnull=True, made_by__isnull=False) & ~Q(reason="")),
                name="correction_says_who_and_why",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.kind} of {self.app_id}/{self.event_id}"


class EventConflict(models.Model):
    """A second event with a known id and other content: the first stays, this one is shown to the app's owner."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="event_conflicts")
    event_id = models.CharField(max_length=128)
    received_at = models.DateTimeField()
    body = models.JSONField()

    class Meta:
        indexes = [
            models.Index(fields=["app", "-received_at"], name="conflict_by_app_time"),
            models.Index(fields=["app", "event_id"], name="conflict_by_event"),
            models.Index(fields=["received_at"], name="conflict_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.app_id}/{self.event_id}"


class UsageRollup(models.Model):
    """The sum of the events of one hour, attribution and billing period; written with them in one transaction."""

    pk = models.CompositePrimaryKey("hour", "attribution_id", "period")
    hour = models.DateTimeField()
    attribution = models.ForeignKey("metering.Attribution", models.PROTECT, db_index=False, related_name="+")
    period = models.DateField()
    events = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0, help_text="Sum over the events that told a latency.")
    latency_events = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    provider_cost = models.DecimalField(
        max_digits=38, decimal_places=18, default=0, help_text="Sum over the events whose provider told one."
    )
    provider_cost_events = models.BigIntegerField(default=0)
    compared_cost = models.DecimalField(
        max_digits=38, decimal_places=18, default=0, help_text="Our cost of those same events."
    )
    currency = models.CharField(max_length=3)

    class Meta:
        indexes = [
            models.Index(fields=["attribution", "hour"], name="rollup_by_attribution_hour"),
            models.Index(fields=["period"], name="rollup_by_period"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.attribution_id}"


class LatencyHistogram(models.Model):
    """How many events of a day and attribution took how long: percentiles of any group are read off the sum.

    Bucket b counts latencies from 2^(b/4) to 2^((b+1)/4) milliseconds, so a percentile is known within 19 %.
    """

    pk = models.CompositePrimaryKey("day", "attribution_id", "bucket")
    day = models.DateField()
    attribution = models.ForeignKey("metering.Attribution", models.PROTECT, db_index=False, related_name="+")
    bucket = models.SmallIntegerField()
    events = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.day} {self.attribution_id} {self.bucket}"


class ClosedPeriod(models.Model):
    """A month that takes no more usage: what still comes for it is billed in the next open month."""

    period = models.DateField(primary_key=True, help_text="First day of the month.")
    closed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.period:%Y-%m}"


class ArchivedPeriodQuerySet(models.QuerySet["ArchivedPeriod"]):
    """Months that were archived once."""

    def archived(self) -> "ArchivedPeriodQuerySet":
        """Those whose events are only in the archive now."""
        return self.filter(restored_at=None)


class ArchivedPeriod(models.Model):
    """A month whose events were written to files and taken out of the table; its roll-ups stay.

    The manifest tells of the files and what they sum up to (``metering.manifests``). A restored month keeps its row, so
    that no routine archives again what somebody restored to look at.
    """

    period = models.DateField(
        primary_key=True, help_text="First day of the month in which the events occurred."
    )
    archived_at = models.DateTimeField()
    restored_at = models.DateTimeField(null=True, help_text="Since when the events are in the table again.")
    folder = models.TextField(help_text="Where the files were written.")
    manifest = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)

    objects = ArchivedPeriodQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(restored_at=None) | Q(restored_at__gte=F("archived_at")),
                name="archived_period_restored_later",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period:%Y-%m}"


class SavedView(models.Model):
    """A question to usage with a name, to get back to. What it shows is what whoever opens it may see."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    created_by = models.ForeignKey("accounts.User", models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=80)
    query = models.CharField(
        max_length=1000, blank=True, help_text="What follows the question mark of /usage/."
    )
    is_shared = models.BooleanField(default=False, help_text="Shown to everybody of the organization.")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["created_by", "name"], name="saved_view_name_unique"),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_has_name"),
        ]

    def __str__(self) -> str:
        return self.name


class ReportSchedule(models.Model):
    """A question to usage that is mailed to a person every week or month, about the week or month before."""

    class Cadence(models.TextChoices):
        WEEKLY = "weekly", "Weekly, on Monday"
        MONTHLY = "monthly", "Monthly, on the 1st"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="report_schedules")
    name = models.CharField(max_length=80)
    query = models.CharField(
        max_length=1000, blank=True, help_text="As of a saved view; its days do not count."
    )
    cadence = models.CharField(max_length=10, choices=Cadence)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    sent_for = models.DateField(help_text="The Monday or 1st it was last sent for; at first the one before.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person", "cadence", "query"],
                condition=Q(ended_at=None),
                name="report_schedule_once",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="report_schedule_has_name"),
            models.CheckConstraint(
                condition=~Q(cadence="monthly") | Q(sent_for__day=1), name="report_schedule_on_the_first"
            ),
        ]

    def __str__(self) -> str:
        return self.name
