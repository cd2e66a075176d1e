"""Limits, what is used and held of them, and the holds of calls under way."""

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Delete, Insert, Protect, Row, Trigger, UpdateOf

from marketplace.catalog.models import Listing, Subscription
from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from metering.models import LanguageModel
from quotas import budget_models as budget_models  # registers its tables
from quotas import incident_models as incident_models  # registers its tables
from quotas import increase_models as increase_models  # registers its tables
from quotas.capacity_models import ModelCapacity as ModelCapacity
from quotas.delegation_models import Delegation as Delegation
from quotas.desk_models import DeskGlance as DeskGlance
from quotas.desk_models import DeskMark as DeskMark
from quotas.desk_models import SavedDesk as SavedDesk
from quotas.payment_stop_models import PaymentStop as PaymentStop  # registers its table
from quotas.usual_models import UsualUse as UsualUse  # registers its table

OWNER_KINDS = ("organization", "cost_center", "team", "app", "subscription", "key")


def _one_owner() -> Q:
    """Exactly one of the owner columns is set."""
    one = Q()
    for owner in OWNER_KINDS:
        one |= Q(**{f"{kind}__isnull": kind != owner for kind in OWNER_KINDS})
    return one


def _one_at_a_time(kind: str) -> ExclusionConstraint:
    """Of what people set for an owner, one limit of each measure, window and model class is in force at any moment."""
    return ExclusionConstraint(
        name=f"limit_one_of_{kind}",
        expressions=[
            *(
                (field, RangeOperators.EQUAL)
                for field in (kind, "measure", "window", "environment", "model_class")
            ),
            (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
        ],
        condition=Q(is_default=False, is_brake=False, **{f"{kind}__isnull": False}),
    )


class Limit(models.Model):
    """How much of a measure an owner may use in a window. Never deleted: it ends.

    One with a model class counts only usage of models of that class.
    """

    class Measure(models.TextChoices):
        REQUESTS = "requests"
        TOKENS = "tokens"
        COST = "cost"
        CONCURRENCY = "concurrency"

    class Window(models.TextChoices):
        MINUTE = "minute"
        DAY = "day"
        MONTH = "month"

    class Mode(models.TextChoices):
        WARN = "warn"
        SOFT = "soft"
        HARD = "hard"

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", models.PROTECT, null=True, related_name="limits"
    )
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, null=True, related_name="limits")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="limits")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, related_name="limits")
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, null=True, related_name="limits")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, related_name="limits")
    measure = models.CharField(max_length=12, choices=Measure)
    window = models.CharField(max_length=6, choices=Window)
    currency = models.CharField(max_length=3, blank=True, help_text="Of a cost limit.")
    model_class = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        choices=LanguageModel.ModelClass,
        help_text="Counts only usage of models of this class; empty: of all.",
    )
    limit_value = models.DecimalField(max_digits=38, decimal_places=18)
    mode = models.CharField(max_length=4, choices=Mode, default=Mode.HARD)
    time_zone = models.CharField(max_length=40, default="UTC")
    environment = models.CharField(
        max_length=10,
        blank=True,
        help_text="Counts only usage of this environment; empty: all but the sandbox.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    is_default = models.BooleanField(
        default=False, help_text="Came with the plan, the version or the sandbox."
    )
    is_brake = models.BooleanField(
        default=False, db_default=False, help_text="Came with an incident and goes with it."
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_one_owner(), name="limit_has_one_owner"),
            models.UniqueConstraint(
                fields=["subscription", "measure", "window"],
                condition=Q(is_default=True, ends_at=None),
                name="limit_one_default_of_subscription",
            ),
            models.UniqueConstraint(
                fields=["app", "measure", "window"],
                condition=Q(is_default=True, ends_at=None),
                name="limit_one_default_of_app",
            ),
            *(_one_at_a_time(kind) for kind in OWNER_KINDS),
            models.CheckConstraint(condition=Q(limit_value__gte=0), name="limit_not_negative"),
            models.CheckConstraint(
                condition=Q(model_class__in=["", *LanguageModel.ModelClass.values]),
                name="limit_model_class_known",
            ),
            models.CheckConstraint(
                condition=~Q(measure="cost") | Q(currency__regex="^[A-Z]{3}$"), name="limit_cost_has_currency"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="limit_ends_after_start",
            ),
        ]
        triggers = [
            Protect(name="limits_end", operation=Delete),
            epochs.raise_epoch(epochs.LIMITS, name="epoch_of_limits"),
        ]

    def __str__(self) -> str:
        of_class = f" of {self.model_class} models" if self.model_class else ""
        return (
            f"{self.limit_value.normalize():f} {self.measure}{of_class} a {self.window} for {self.owner_kind}"
        )

    @property
    def owner_kind(self) -> str:
        return next(kind for kind in OWNER_KINDS if getattr(self, f"{kind}_id") is not None)

    @property
    def owner_id(self) -> Any:
        return getattr(self, f"{self.owner_kind}_id")


class LimitCounter(models.Model):
    """What is used and held of one limit in one window.

    ``spent + held <= ceiling`` is a CHECK: no interleaving of processes gets past it. What was used beyond a hold
    (the provider took more than agreed, an app reported usage that had happened) is booked in ``overrun``, which
    admission counts, so nothing is admitted until the window ends.
    """

    id = models.BigAutoField(primary_key=True)
    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="counters")
    window_starts_at = models.DateTimeField()
    window_ends_at = models.DateTimeField()
    is_hard = models.BooleanField()
    ceiling = models.DecimalField(max_digits=38, decimal_places=18)
    spent = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    held = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    overrun = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    noticed_at = models.DateTimeField(null=True, help_text="When people were told that the limit is reached.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["limit", "window_starts_at"], name="limit_counter_unique"),
            models.CheckConstraint(
                condition=Q(is_hard=False) | Q(ceiling__gte=F("spent") + F("held")),
                name="limit_counter_within_limit",
            ),
            models.CheckConstraint(
                condition=Q(spent__gte=0, held__gte=0, overrun__gte=0), name="limit_counter_not_negative"
            ),
        ]
        indexes = [models.Index(fields=["window_ends_at"], name="limit_counter_by_end")]

    def __str__(self) -> str:
        return f"limit {self.limit_id} from {self.window_starts_at:%Y-%m-%d %H:%M}"


class Hold(models.Model):
    """What a call under way may use at most, committed before a byte goes to a provider.

    ``counter_ids`` and ``amounts`` run in parallel: what is held of each counter of the chain. ``usage`` keeps all
    that is needed to book the call when its process dies.
    """

    class State(models.TextChoices):
        HELD = "held"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField(max_length=8, choices=State, default=State.HELD)
    app_id = models.BigIntegerField()
    subscription_id = models.UUIDField(null=True)
    counter_ids = ArrayField(models.BigIntegerField())
    amounts = ArrayField(models.DecimalField(max_digits=38, decimal_places=18))
    usage = models.JSONField(
        help_text="Attribution, model, input tokens and clamped output tokens of the call."
    )
    counted_output_tokens = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="hold_open", condition=Q(state="held")),
            models.Index(fields=["ended_at"], name="hold_by_end"),
        ]

    def __str__(self) -> str:
        return f"hold {self.id}"


class OverrunEntry(models.Model):
    """What a call cost beyond its hold, or a report or correction brought beyond a limit; raises an alarm."""

    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="overruns")
    window_starts_at = models.DateTimeField()
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    cause = models.CharField(
        max_length=10,
        choices=[
            ("call", "call"),
            ("elsewhere", "app elsewhere"),
            ("report", "report"),
            ("correction", "correction"),
        ],
        help_text="A call of an app elsewhere is held at what its calls usually come to, so some use more.",
    )
    hold_id = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    noticed_at = models.DateTimeField(null=True, help_text="When people were told.")

    class Meta:
        verbose_name_plural = "overrun entries"
        indexes = [
            models.Index(fields=["limit", "-created_at"], name="overrun_by_limit"),
            models.Index(
                fields=["limit", "window_starts_at"], name="overrun_untold", condition=Q(noticed_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"overrun of limit {self.limit_id}"


# Default limits come with the row that makes a call possible, in its own transaction and whoever writes it: the
# database itself sees to it that nothing can be called before it has a limit. A change of plan or version changes
# the value in place, so what is used of the window stays used.
DEFAULT_LIMITS_OF_SUBSCRIPTION = """
IF NEW.environment = 'sandbox' THEN
    INSERT INTO quotas_limit (subscription_id, measure, "window", currency, limit_value, mode, time_zone, environment,
                              starts_at, is_default, note)
    SELECT NEW.id, 'cost', 'month', o.currency, NEW.sandbox_credit, 'hard', 'UTC', 'sandbox', NEW.starts_at, true,
           'sandbox credit'
    FROM accounts_team t JOIN accounts_organization o ON o.id = t.organization_id WHERE t.id = NEW.team_id
    ON CONFLICT (subscription_id, measure, "window") WHERE is_default AND ends_at IS NULL
    DO UPDATE SET limit_value = excluded.limit_value;
ELSE
    INSERT INTO quotas_limit (subscription_id, measure, "window", currency, limit_value, mode, time_zone, environment,
                              starts_at, is_default, note)
    SELECT NEW.id, 'requests', w.name, '', w.value, 'hard', 'UTC', '', NEW.starts_at, true, 'plan ' || p.name
    FROM catalog_plan p
    CROSS JOIN LATERAL (VALUES ('day', p.daily_calls_limit), ('month', p.monthly_calls_limit)) AS w(name, value)
    WHERE p.id = NEW.plan_id
    ON CONFLICT (subscription_id, measure, "window") WHERE is_default AND ends_at IS NULL
    DO UPDATE SET limit_value = excluded.limit_value, note = excluded.note;
END IF;
RETURN NULL;
"""
DEFAULT_LIMITS_OF_APP = """
INSERT INTO quotas_limit (app_id, measure, "window", currency, limit_value, mode, time_zone, environment,
                          starts_at, is_default, note)
SELECT NEW.app_id, 'requests', w.name, '', w.value, 'hard', 'UTC', '', NEW.listed_at, true, 'version ' || v.number
FROM catalog_version v
CROSS JOIN LATERAL (VALUES ('day', v.daily_calls_limit), ('month', v.monthly_calls_limit)) AS w(name, value)
WHERE v.id = NEW.version_id
ON CONFLICT (app_id, measure, "window") WHERE is_default AND ends_at IS NULL
DO UPDATE SET limit_value = excluded.limit_value, note = excluded.note;
RETURN NULL;
"""


class LimitedSubscription(Subscription):
    """A subscription as limits see it: it gets its default limits when it starts or changes plan."""

    class Meta:
        proxy = True
        triggers = [
            Trigger(
                name="default_limits",
                level=Row,
                when=After,
                operation=Insert | UpdateOf("plan_id", "sandbox_credit"),
                func=DEFAULT_LIMITS_OF_SUBSCRIPTION,
            ),
        ]


class LimitedListing(Listing):
    """A listing as limits see it: the app gets its default limits when it is listed or changes version."""

    class Meta:
        proxy = True
        triggers = [
            Trigger(
                name="default_limits",
                level=Row,
                when=After,
                operation=Insert | UpdateOf("version_id"),
                func=DEFAULT_LIMITS_OF_APP,
            ),
        ]
