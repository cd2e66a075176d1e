"""Runs of apps by people, kept for a while, and links that share one."""

from django.db import models
from django.db.models import F, Q

from marketplace.core.ids import uuid7


class KeptRun(models.Model):
    """One run of an app from its form: what a person gave and what came back. Theirs alone, until it expires.

    Its call is known by the same id.
    """

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    subscription = models.ForeignKey("catalog.Subscription", models.CASCADE, related_name="+")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="+")
    data = models.JSONField(help_text="The input.")
    output = models.JSONField(null=True, blank=True)
    problems = models.JSONField(
        default=list, help_text="Where the output does not fit what the app promises."
    )
    failure = models.TextField(blank=True, help_text="Why there is no output.")
    cost = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    model = models.CharField(max_length=80, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    rating = models.CharField(
        max_length=4, choices=Rating, blank=True, help_text="What the person thought of it."
    )
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at")), name="kept_run_expires_after_it_was_made"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, cost__isnull=True, failure="")
                | Q(ended_at__isnull=False, cost__isnull=False, failure="")
                | Q(ended_at__isnull=False) & ~Q(failure=""),
                name="kept_run_has_cost_or_failure",
            ),
            models.CheckConstraint(
                condition=Q(rating="") | Q(rating__in=["up", "down"], cost__isnull=False),
                name="kept_run_rated_when_it_came_back",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-created_at"], name="kept_run_of_person"),
            models.Index(fields=["expires_at"], name="kept_run_by_end"),
        ]

    def __str__(self) -> str:
        return f"Run of {self.app} by {self.person}"


class RunShare(models.Model):
    """A link that shows one run to people of one organization, until it ends or is taken back."""

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey("catalog.KeptRun", models.CASCADE, related_name="shares")
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    created_by = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("created_at")), name="run_share_ends"),
            models.UniqueConstraint(
                fields=["run"], condition=Q(revoked_at__isnull=True), name="run_share_one_in_force"
            ),
        ]

    def __str__(self) -> str:
        return f"Link to {self.run}"
