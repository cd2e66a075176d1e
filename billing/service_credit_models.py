"""What an app promises of its service, how each month went, and what a missed promise gives back."""

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, Update

from marketplace.core.ids import uuid7


class ServiceTerms(models.Model):
    """What the maker of an app promises with a version, from the first of a month on."""

    class Bearer(models.TextChoices):
        CREATOR = "creator", "The creator, up to their part of the fees"
        PLATFORM = "platform", "The platform"
        SHARED = "shared", "Both, as the fees were split"

    version = models.ForeignKey("catalog.Version", models.PROTECT, related_name="service_terms")
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="service_terms")
    starts_at = models.DateTimeField()
    availability_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)
    latency_p95_ms = models.PositiveIntegerField(null=True, blank=True)
    support_hours = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Stated, not measured: support does not run here."
    )
    credits = models.JSONField(
        help_text="Steps of each objective: below or above what, how much of the fees."
    )
    cap_percent = models.DecimalField(
        max_digits=6, decimal_places=3, help_text="Most that a month gives back."
    )
    borne_by = models.CharField(max_length=8, choices=Bearer)
    agreed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    agreed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "service terms"
        constraints = [
            models.UniqueConstraint(fields=["app", "starts_at"], name="service_terms_one_a_month"),
            models.CheckConstraint(
                condition=Q(cap_percent__gte=0, cap_percent__lte=100), name="service_terms_cap_is_percent"
            ),
            models.CheckConstraint(
                condition=Q(availability_percent__isnull=True)
                | Q(availability_percent__gt=0, availability_percent__lte=100),
                name="service_terms_availability_is_percent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app} from {self.starts_at:%Y-%m}"


class MaintenanceWindow(models.Model):
    """Hours in which an app was announced to be away; they do not count."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="maintenance_windows")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    why = models.CharField(max_length=200)
    announced_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    announced_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="maintenance_ends_after"),
            models.CheckConstraint(
                condition=Q(announced_at__lt=F("starts_at")), name="maintenance_is_announced_before"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app_id} from {self.starts_at:%Y-%m-%d %H:%M}"


class ServiceResult(models.Model):
    """How an app kept one objective in one month; written once, when the month is over."""

    class Objective(models.TextChoices):
        AVAILABILITY = "availability"
        LATENCY = "latency"

    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="service_results")
    terms = models.ForeignKey("billing.ServiceTerms", models.PROTECT, related_name="results")
    month = models.CharField(max_length=7)
    objective = models.CharField(max_length=12, choices=Objective)
    promised = models.DecimalField(max_digits=38, decimal_places=18)
    measured = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    is_missed = models.BooleanField()
    credit_percent = models.DecimalField(max_digits=6, decimal_places=3, default=0)
    explanation = models.JSONField()
    measured_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "month", "objective"], name="service_result_once")
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.objective} of {self.app_id} in {self.month}"


class ServiceCredit(models.Model):
    """What a subscription gets back because an objective was missed: a line of the bill of a later month."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="service_credits")
    result = models.ForeignKey("billing.ServiceResult", models.PROTECT, related_name="credits")
    month = models.CharField(max_length=7, help_text="In which it was missed.")
    objective = models.CharField(max_length=12, choices=ServiceResult.Objective)
    currency = models.CharField(max_length=3)
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, related_name="+")
    fees_minor = models.BigIntegerField(help_text="What the subscription was billed for the month.")
    amount_minor = models.BigIntegerField(help_text="Positive: what is given back.")
    creator_minor = models.BigIntegerField(help_text="The part of it that the creator bears.")
    billed_in = models.CharField(max_length=7, help_text="The month whose bill has the line.")
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "month", "objective", "currency", "plan"],
                name="service_credit_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, creator_minor__gte=0, creator_minor__lte=F("amount_minor")),
                name="service_credit_is_whole",
            ),
        ]
        indexes = [models.Index(fields=["billed_in"], name="service_credit_by_bill")]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.objective} of {self.month}: {self.amount_minor}"
