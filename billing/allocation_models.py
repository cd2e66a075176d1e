"""Allocation: what is shared, the rules by which it is split, and runs with the rows that they came to."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Before, Delete, Insert, Protect, Trigger, Update

from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions

# The row of the month is locked, so that a close and what is entered at the same moment see each other.
CLOSED_MONTH = """
PERFORM 1 FROM billing_billingperiod WHERE name = NEW.period_id FOR SHARE;
IF EXISTS (SELECT 1 FROM billing_billingperiod WHERE name = NEW.period_id AND state <> 'open')
AND NOT EXISTS (SELECT 1 FROM billing_reopening WHERE period_id = NEW.period_id AND state = 'approved') THEN
    RAISE EXCEPTION 'the month % is closed and takes nothing more', NEW.period_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class SharedKind(models.TextChoices):
    """What a shared cost is for; a rule says how each kind is split."""

    IDLE_POOL = "idle_pool", "Idle time of pools"
    PLATFORM_FEE = "platform_fee", "Platform fee"
    LICENSE = "license", "License"
    SANDBOX = "sandbox", "Trying in the sandbox"
    OTHER = "other", "Other"


class SharedCost(models.Model):
    """What an organization's cost centers share, for the days from one date to another, the last excluded.

    Never changed: a mistake is taken back by a cost of the opposite amount that names it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=SharedKind)
    name = models.CharField(max_length=80)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    starts_date = models.DateField()
    ends_date = models.DateField(help_text="The first day that it is not for.")
    reason = models.CharField(max_length=300, blank=True)
    source_key = models.CharField(max_length=120, unique=True, help_text="What it is entered once by.")
    corrects = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="corrected_by"
    )
    entered_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_date__gt=F("starts_date")), name="shared_cost_has_days"),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="shared_cost_has_amount"),
            models.CheckConstraint(
                condition=~Q(kind="sandbox"),
                name="shared_cost_sandbox_is_metered",
                violation_error_message="What the sandbox cost is metered, not entered.",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return self.name


class SharedCostPart(models.Model):
    """What of a shared cost belongs to one month; parts sum to the cost. A closed month takes none: a later one does."""

    cost = models.ForeignKey("billing.SharedCost", models.PROTECT, related_name="parts")
    service_month = models.CharField(max_length=7, help_text="YYYY-MM, the month it is for.")
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cost", "service_month"], name="shared_cost_part_once"),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="shared_part_in_open_month", when=Before, operation=Insert, func=CLOSED_MONTH),
        ]

    def __str__(self) -> str:
        return f"{self.cost_id} {self.service_month}"

    @property
    def is_late(self) -> bool:
        return self.service_month != self.period_id


class SplitRule(Proposal):
    """A version of how a kind of shared cost, or one of a name, is split from a month on. Never changed."""

    class Method(models.TextChoices):
        EVEN = "even", "Evenly"
        FIXED = "fixed", "By fixed percentages"
        PROPORTIONAL = "proportional", "In proportion to direct charges"
        METRIC = "metric", "By a metric"

    class Metric(models.TextChoices):
        NONE = "", "None"
        CALLS = "calls", "Calls"
        TOKENS = "tokens", "Tokens"
        COST = "cost", "Cost of models"
        SEATS = "seats", "People"

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=SharedKind)
    name = models.CharField(max_length=80, blank=True, help_text="Of one shared cost; empty: of its kind.")
    version = models.PositiveIntegerField()
    method = models.CharField(max_length=12, choices=Method)
    metric = models.CharField(max_length=6, choices=Metric, blank=True, default="")
    percentages = models.JSONField(default=dict, help_text="By code of cost center, as decimal strings.")
    starts_month = models.CharField(max_length=7, help_text="YYYY-MM, the first month it holds for.")
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "name", "version"], name="split_rule_version_unique"
            ),
            models.UniqueConstraint(
                fields=["organization", "kind", "name"],
                condition=Q(state="proposed"),
                name="split_rule_one_open",
            ),
            models.CheckConstraint(
                condition=Q(method="metric") & ~Q(metric="") | ~Q(method="metric") & Q(metric=""),
                name="split_rule_metric_has_metric",
            ),
            models.CheckConstraint(
                condition=Q(method="fixed") & ~Q(percentages={}) | ~Q(method="fixed") & Q(percentages={}),
                name="split_rule_fixed_has_percentages",
            ),
            *four_eyes("split_rule", decided=["approved", "rejected"]),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.get_kind_display()}, version {self.version}"

    @property
    def words(self) -> str:
        """Say how it splits."""
        if self.method == self.Method.METRIC:
            return f"By {self.get_metric_display().lower()}"
        return self.get_method_display()


class AllocationRun(models.Model):
    """One working out of who bears what of a month. The latest one counts; equal facts give the same run."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="allocation_runs")
    number = models.PositiveIntegerField()
    is_final = models.BooleanField(help_text="Made of issued lines, not of an estimate.")
    fingerprint = models.CharField(max_length=64)
    metrics = models.JSONField(help_text="What rules were weighed by, by metric and cost center.")
    made_at = models.DateTimeField()
    made_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["period", "number"], name="allocation_run_number_unique"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.period_id} run {self.number}"


class AllocationRow(models.Model):
    """What one cost center bears for one thing: its own use, a correction, or its part of what is shared.

    Without a cost center nobody bears it: no rule says who, or a rule leaves a rest.
    """

    class Kind(models.TextChoices):
        DIRECT = "direct"
        CORRECTION = "correction"
        SHARED = "shared"
        UNALLOCATED = "unallocated"

    run = models.ForeignKey("billing.AllocationRun", models.PROTECT, related_name="rows")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=11, choices=Kind)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, null=True, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, related_name="+")
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, related_name="+")
    environment = models.CharField(max_length=10, blank=True)
    sku = models.CharField(max_length=90, help_text="Charge and token class, or the name of a shared cost.")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=0, help_text="Of models, unrounded.")
    is_late = models.BooleanField(default=False, help_text="For an earlier month that was closed.")
    invoice_line = models.ForeignKey("billing.InvoiceLine", models.PROTECT, null=True, related_name="+")
    shared_part = models.ForeignKey("billing.SharedCostPart", models.PROTECT, null=True, related_name="+")
    correction = models.ForeignKey("billing.StatementCorrection", models.PROTECT, null=True, related_name="+")
    rule = models.ForeignKey("billing.SplitRule", models.PROTECT, null=True, related_name="+")
    method = models.CharField(max_length=60, blank=True)
    weight = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    weights_total = models.DecimalField(max_digits=38, decimal_places=18, null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="allocation_row_position_unique"),
            models.CheckConstraint(
                condition=Q(kind="unallocated", cost_center__isnull=True)
                | ~Q(kind="unallocated") & Q(cost_center__isnull=False),
                name="allocation_row_has_bearer",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.kind} {self.sku} {self.amount_minor} {self.currency}"


class UnallocatedGoal(models.Model):
    """Who looks after what an organization leaves unallocated, and how much of the whole it may be."""

    organization = models.OneToOneField("accounts.Organization", models.PROTECT, related_name="+")
    owner = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    target_percent = models.DecimalField(max_digits=5, decimal_places=2)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(target_percent__gte=0, target_percent__lte=100),
                name="unallocated_goal_is_percent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_percent} % of {self.organization}"
