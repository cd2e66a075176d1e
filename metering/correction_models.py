"""Who changed what recorded events count as, and why: single corrections, and re-ratings of many."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update

from marketplace.core.transitions import Transitions


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
