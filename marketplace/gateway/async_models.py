"""Runs of apps whose callers do not wait."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from marketplace.core.transitions import Transitions


class AsyncRun(models.Model):
    """One run of an app in the background; its id is that of the job that makes it. Kept until it expires."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    TRANSITIONS: ClassVar[Transitions] = {
        "queued": frozenset({"running", "failed", "canceled"}),
        "running": frozenset({"queued", "done", "failed", "canceled"}),
        "done": frozenset(),
        "failed": frozenset(),
        "canceled": frozenset(),
    }
    OPEN = ("queued", "running")

    id = models.UUIDField(primary_key=True, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="async_runs")
    key = models.ForeignKey("accounts.ApiKey", models.PROTECT, null=True, blank=True, related_name="+")
    person = models.ForeignKey(
        "accounts.User",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who asked on a page.",
    )
    again_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    feature = models.CharField(max_length=40, blank=True)
    data = models.JSONField(help_text="The input.")
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    used = models.JSONField(null=True, blank=True, help_text="What was used, until it is settled.")
    answer = models.BinaryField(null=True, blank=True, help_text="What came back, until it is settled.")
    output = models.JSONField(null=True, blank=True)
    problems = models.JSONField(
        default=list, help_text="Where the output does not fit what the app promises."
    )
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    model = models.CharField(max_length=80, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=Decimal(0))
    currency = models.CharField(max_length=3, blank=True)
    created_at = models.DateTimeField()
    begun_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="async_run_expires"),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], ended_at__isnull=True, cost=0)
                | Q(state__in=["done", "canceled"], ended_at__isnull=False)
                | Q(state="failed", ended_at__isnull=False) & ~Q(error_code=""),
                name="async_run_ended_says_how",
            ),
        ]
        indexes = [
            models.Index(fields=["subscription", "-created_at"], name="async_run_of_subscription"),
            models.Index(fields=["expires_at"], name="async_run_by_end"),
            models.Index(
                fields=["created_at"], name="async_run_open", condition=Q(state__in=["queued", "running"])
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.id}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN
