"""The model catalogue and what its models cost, from when on; instance types; proposals of prices."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions
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


class BatchRate(models.Model):
    """What calls of a batch cost less than list prices, from a date. Never changed: a new rate is a new row.

    The database makes a rate card of each list price out of it (trigger ``batch_prices``).
    """

    off_percent = models.DecimalField(max_digits=5, decimal_places=2)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="batch_rate_one_in_force",
                expressions=[
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(off_percent__gte=0, off_percent__lt=100), name="batch_rate_leaves_a_price"
            ),
        ]
        triggers = [price_triggers.batch_rate_is_fixed(), *price_triggers.batch_prices_of_rates()]

    def __str__(self) -> str:
        return f"{self.off} less from {self.starts_at:%Y-%m-%d %H:%M} UTC on"

    @property
    def off(self) -> str:
        """The rate in words, such as 50 %."""
        return f"{self.off_percent.normalize():f} %"


class ListPrices(models.Manager["RateCard"]):
    """The prices of calls that are answered at once, and not those that are made out of them for batches."""

    def get_queryset(self) -> models.QuerySet["RateCard"]:
        return super().get_queryset().filter(batch_rate=None)


class RateCard(models.Model):
    """What a model costs per million tokens of each class, from a date. Never changed: a new price is a new row.

    With a batch rate it is what a call of a batch costs: each price of ``list_price``, less the rate.
    """

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
    batch_rate = models.ForeignKey(
        "metering.BatchRate", models.PROTECT, null=True, blank=True, editable=False, related_name="prices"
    )
    list_price = models.ForeignKey(
        "metering.RateCard",
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="batch_prices",
    )

    objects = ListPrices()
    every = models.Manager()  # noqa: DJ012  # the one that is meant nearly always comes first

    class Meta:
        base_manager_name = "every"
        constraints = [
            ExclusionConstraint(
                name="rate_card_one_in_force",
                expressions=[
                    ("model", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
                condition=Q(batch_rate=None),
            ),
            ExclusionConstraint(
                name="batch_price_one_in_force",
                expressions=[
                    ("model", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
                condition=Q(batch_rate__isnull=False),
            ),
            models.CheckConstraint(
                condition=Q(batch_rate=None, list_price=None)
                | Q(batch_rate__isnull=False, list_price__isnull=False),
                name="batch_price_is_of_a_list_price",
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
            *price_triggers.batch_prices_of_cards(),
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


TOKEN_PRICES = (
    "input_per_mtok",
    "cached_input_per_mtok",
    "cache_write_per_mtok",
    "output_per_mtok",
    "reasoning_per_mtok",
)


def _of_each_token_price(lookup: str, *, value: bool | int) -> Q:
    return Q(**{f"{price}__{lookup}": value for price in TOKEN_PRICES})


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
                # A comparison with nothing is neither true nor false, and passes: that there is a price stands apart.
                condition=Q(kind="instance_type", price_per_hour__isnull=False, price_per_hour__gte=0)
                & _of_each_token_price("isnull", value=True)
                | Q(kind="model", price_per_hour__isnull=True)
                & _of_each_token_price("isnull", value=False)
                & _of_each_token_price("gte", value=0)
                | Q(kind="ceiling", subject="", price_per_hour__isnull=True)
                & _of_each_token_price("isnull", value=False)
                & _of_each_token_price("gt", value=0),
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
