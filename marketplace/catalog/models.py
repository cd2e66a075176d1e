"""Apps from idea to listing, and who subscribed to them."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Condition, Delete, Insert, Protect, UpdateOf

from marketplace.catalog import (  # noqa: F401  Django looks here
    agreement_models,
    approval_models,
    auto_approval_models,
    bench_models,
    check_models,
    collection_models,
    declared_models,
    discovery_models,
    document_models,
    entries,
    lifecycle_models,
    rating_models,
    run_models,
    service_models,
    smoke_models,
    takedown_models,
    unfinished_models,
    version_models,
)
from marketplace.catalog.owning import first_ownership
from marketplace.catalog.review_models import Review  # noqa: F401  Django looks here
from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class Environment(models.TextChoices):
    PRODUCTION = "production"
    STAGING = "staging"
    SANDBOX = "sandbox"


class OutputFormat(models.TextChoices):
    """What the answer of an app is; JSON and tables are held against the app's output schema."""

    TEXT = "text", "Text"
    JSON = "json", "JSON"
    TABLE = "table", "Table"


class App(models.Model):
    """A micro app: one small job, owned by a team."""

    class Kind(models.TextChoices):
        HOSTED = "hosted", "Hosted prompt app"
        HTTP = "http", "HTTP app"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80)
    summary = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    category = models.CharField(max_length=40)
    icon = models.CharField(max_length=40, default="app-window", help_text="Name of a Lucide icon.")
    kind = models.CharField(max_length=6, choices=Kind)
    owner_team = models.ForeignKey(
        "accounts.Team",
        models.PROTECT,
        related_name="apps",
        help_text="Who owns it now; follows the dated ownerships (catalog.ownership).",
    )
    owner_contact = models.EmailField()
    is_public = models.BooleanField(default=True, help_text="Listed for other organizations too.")
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        triggers = [
            epochs.raise_epoch(
                epochs.DIRECTORY, name="epoch_of_apps", operation=UpdateOf("slug", "kind", "owner_team_id")
            ),
            first_ownership(),
            entries.of_app(),
        ]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """One immutable state of an app; what reviewers decide on and what runs."""

    class State(models.TextChoices):
        DRAFT = "draft"
        SUBMITTED = "submitted"
        CHECKING = "checking"
        IN_REVIEW = "in_review"
        CHANGES_REQUESTED = "changes_requested"
        APPROVED = "approved"
        LISTED = "listed"
        DEPRECATED = "deprecated"
        WITHDRAWN = "withdrawn"
        SUSPENDED = "suspended"

    TRANSITIONS: ClassVar[Transitions] = {
        "draft": frozenset({"submitted", "withdrawn"}),
        "submitted": frozenset({"checking", "withdrawn"}),
        "checking": frozenset({"in_review", "changes_requested", "withdrawn"}),
        "in_review": frozenset({"approved", "changes_requested", "withdrawn"}),
        "changes_requested": frozenset({"submitted", "withdrawn"}),
        "approved": frozenset({"listed"}),
        "listed": frozenset({"deprecated", "suspended", "withdrawn"}),
        "suspended": frozenset({"listed", "deprecated", "withdrawn"}),
        # Back to the catalogue: rolled back to.
        "deprecated": frozenset({"listed", "withdrawn"}),
        # Back to review: its rejection was appealed against.
        "withdrawn": frozenset({"in_review"}),
    }
    EDITABLE: ClassVar[frozenset[str]] = frozenset({"draft", "changes_requested"})

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=20, choices=State, default=State.DRAFT)
    template = models.CharField(max_length=40, help_text="Key of the template it was started from.")
    about = models.JSONField(
        default=dict,
        help_text="Name, summary, description, category, icon and visibility that its approval gives the app.",
    )
    plan = models.ForeignKey(
        "catalog.Plan",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The price it proposes, offered once approved; empty: the one that is offered.",
    )
    instructions = models.TextField(blank=True, help_text="System message of a hosted prompt app.")
    prompt_template = models.TextField(blank=True, help_text="User message; {{ name }} stands for an input.")
    input_schema = models.JSONField(default=dict, help_text="JSON Schema of the input.")
    example_input = models.JSONField(default=dict)
    output_format = models.CharField(max_length=5, choices=OutputFormat, default=OutputFormat.TEXT)
    output_schema = models.JSONField(
        default=dict, help_text="JSON Schema of an answer that is JSON or a table."
    )
    endpoint_url = models.URLField(blank=True, help_text="Where an HTTP app is called.")
    endpoint_contract = models.JSONField(
        default=dict, help_text="OpenAPI document that an HTTP app keeps to; empty: none."
    )
    signing_secret = models.CharField(max_length=80, blank=True)
    examples = models.JSONField(default=list, help_text="Inputs with what is expected of their answers.")
    archive = models.ForeignKey(
        "catalog.CodeArchive",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Code, to be checked.",
    )
    documents = models.JSONField(
        default=list, help_text="What a hosted app answers from: names and ids, see AppDocument."
    )
    passage_tokens = models.PositiveIntegerField(
        default=1_000, help_text="Tokens of passages from its documents that a prompt gets at most."
    )
    shows_sources = models.BooleanField(default=True, help_text="Answers tell which passages they had.")
    allowed_models = models.JSONField(
        default=list, help_text="Model names in order of preference, cheapest first."
    )
    max_output_tokens = models.PositiveIntegerField(default=512)
    expected_monthly_calls = models.PositiveIntegerField()
    declared_cost_per_call = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    slo_latency_ms = models.PositiveIntegerField(
        default=2000, help_text="95 % of calls answer within this time."
    )
    slo_availability_percent = models.DecimalField(max_digits=5, decimal_places=2, default="99.50")
    daily_calls_limit = models.PositiveIntegerField(default=10_000, help_text="Hard limit of the whole app.")
    monthly_calls_limit = models.PositiveIntegerField(
        default=200_000, help_text="Hard limit of the whole app."
    )
    submitted_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    submitted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "number"], name="version_number_unique"),
            models.UniqueConstraint(
                fields=["app"],
                condition=Q(state__in=["draft", "submitted", "checking", "in_review", "changes_requested"]),
                name="version_one_in_the_making",
            ),
            models.CheckConstraint(condition=Q(expected_monthly_calls__gt=0), name="version_declares_calls"),
        ]
        triggers = [
            # A reviewed version is what people trust: after it left the maker's hands only its state moves.
            Protect(
                name="immutable_once_submitted",
                operation=UpdateOf(
                    "about",
                    "plan_id",
                    "instructions",
                    "prompt_template",
                    "input_schema",
                    "output_format",
                    "output_schema",
                    "endpoint_url",
                    "endpoint_contract",
                    "examples",
                    "archive_id",
                    "documents",
                    "passage_tokens",
                    "shows_sources",
                    "allowed_models",
                    "max_output_tokens",
                    "expected_monthly_calls",
                ),
                condition=Condition("OLD.state NOT IN ('draft', 'changes_requested')"),
            ),
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_versions", operation=UpdateOf("state")),
            entries.of_version(),
        ]

    def __str__(self) -> str:
        return f"{self.app} v{self.number}"

    def is_editable(self) -> bool:
        return self.state in self.EDITABLE


class Listing(models.Model):
    """What the catalogue shows of an app: the approved version that runs now. Exists only once approved."""

    app = models.OneToOneField("catalog.App", models.CASCADE, primary_key=True, related_name="listing")
    version = models.ForeignKey("catalog.Version", models.PROTECT, related_name="+")
    listed_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_listings"), *entries.of_listing()]

    def __str__(self) -> str:
        return f"Listing of {self.app}"


class Plan(models.Model):
    """A price of an app. Never changed: a new price is a new plan with the next number.

    ``charges`` has the shape of the pricing calculator: a flat fee, a price per call with free units, a markup on
    cost. Codes: ``fee``, ``calls``, ``cost``.
    """

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="plans")
    code = models.SlugField(max_length=40)
    number = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=60)
    currency = models.CharField(max_length=3)
    charges = models.JSONField(default=list)
    daily_calls_limit = models.PositiveIntegerField(help_text="Hard limit of each subscription.")
    monthly_calls_limit = models.PositiveIntegerField(help_text="Hard limit of each subscription.")
    trial_days = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Days without a fee for who has not tried the app before."
    )
    is_offered = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["app", "code", "number"], name="plan_number_unique")]
        triggers = [
            Protect(
                name="plan_never_changes",
                operation=UpdateOf("charges", "currency", "app_id", "code", "number", "trial_days"),
            ),
            *entries.of_plan(),
        ]

    def __str__(self) -> str:
        return f"{self.app}: {self.name}"

    def charge(self, code: str) -> dict[str, object]:
        """Return the charge with this code, or an empty dict."""
        return next((c for c in self.charges if c["code"] == code), {})


class Subscription(models.Model):
    """A team's right to call an app, on a plan, booked on a cost center. A sandbox one is for trying and never billed."""

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        SUSPENDED = "suspended"
        CANCELED = "canceled"

    TRANSITIONS: ClassVar[Transitions] = {
        "active": frozenset({"paused", "suspended", "canceled"}),
        "paused": frozenset({"active", "canceled"}),
        "suspended": frozenset({"active", "canceled"}),
        "canceled": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(
        "catalog.Plan", models.PROTECT, null=True, blank=True, related_name="subscriptions"
    )
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="subscriptions")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="subscriptions")
    environment = models.CharField(max_length=10, choices=Environment, default=Environment.PRODUCTION)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    sandbox_credit = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, blank=True, help_text="What a sandbox may cost a month."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "team", "environment"],
                condition=~Q(state="canceled"),
                name="subscription_one_active",
            ),
            models.CheckConstraint(
                condition=Q(environment="sandbox", sandbox_credit__isnull=False)
                | ~Q(environment="sandbox") & Q(plan__isnull=False),
                name="subscription_has_plan_or_credit",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="subscription_ends_after_start",
            ),
        ]
        triggers = [
            epochs.raise_epoch(
                epochs.DIRECTORY,
                name="epoch_of_subscriptions",
                operation=UpdateOf("state", "plan_id", "cost_center_id", "team_id", "ends_at") | Delete,
            ),
            entries.keep_entry("entry_of_subscriptions", Insert | UpdateOf("state")),
        ]

    def __str__(self) -> str:
        return f"{self.app} for {self.team}"


class SubscriptionKey(models.Model):
    """The subscription a ``sub`` key may call with."""

    key = models.OneToOneField(
        "accounts.ApiKey", models.CASCADE, primary_key=True, related_name="subscription_key"
    )
    subscription = models.ForeignKey("catalog.Subscription", models.CASCADE, related_name="key_links")

    def __str__(self) -> str:
        return str(self.key)


class AppKey(models.Model):
    """The app and environment an ``app`` key may report usage of."""

    key = models.OneToOneField("accounts.ApiKey", models.CASCADE, primary_key=True, related_name="app_key")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="key_links")
    environment = models.CharField(max_length=10, choices=Environment, default=Environment.PRODUCTION)

    def __str__(self) -> str:
        return str(self.key)


class SmokeRun(models.Model):
    """A check of a version: calls it for real in the sandbox and says what a call costs. The gateway runs it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PASSED = "passed"
        WARNED = "warned"
        FAILED = "failed"
        COULD_NOT_CHECK = "could_not_check"

    TRANSITIONS: ClassVar[Transitions] = {
        "queued": frozenset({"running", "could_not_check"}),
        "running": frozenset({"passed", "warned", "failed", "could_not_check"}),
        "passed": frozenset(),
        "warned": frozenset(),
        "failed": frozenset(),
        "could_not_check": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="smoke_runs")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="Which attempt of its job works on it; an earlier one begins nothing more."
    )
    planned_calls = models.PositiveSmallIntegerField(default=20)
    done_calls = models.PositiveSmallIntegerField(default=0)
    failed_calls = models.PositiveSmallIntegerField(default=0)
    mean_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    low_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    high_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    max_cost = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    mean_input_tokens = models.PositiveIntegerField(null=True, blank=True)
    mean_cached_input_tokens = models.PositiveIntegerField(null=True, blank=True)
    mean_cache_write_tokens = models.PositiveIntegerField(null=True, blank=True)
    mean_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    mean_reasoning_tokens = models.PositiveIntegerField(null=True, blank=True)
    p50_latency_ms = models.PositiveIntegerField(null=True, blank=True)
    p95_latency_ms = models.PositiveIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, default="USD")
    finding = models.TextField(blank=True, help_text="What was found, in words, and what to do about it.")
    sample_output = models.TextField(blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version"], condition=Q(state__in=["queued", "running"]), name="smoke_run_one_active"
            ),
            models.CheckConstraint(condition=Q(planned_calls__gte=20), name="smoke_run_calls_enough"),
        ]
        triggers = [entries.of_smoke_run()]

    def __str__(self) -> str:
        return f"Smoke run of {self.version}"
