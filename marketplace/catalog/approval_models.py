"""When a subscription needs somebody's approval, and the requests for it."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class SubscriptionRule(models.Model):
    """From which amount a month on subscriptions of an organization need approval: to one app, or to any (null).

    Rules are ended and replaced, never changed. An app's own rule goes before that for any app.
    """

    organization = models.ForeignKey(
        "accounts.Organization", models.CASCADE, related_name="subscription_rules"
    )
    app = models.ForeignKey("catalog.App", models.CASCADE, null=True, blank=True, related_name="+")
    from_amount = models.DecimalField(max_digits=38, decimal_places=18)
    currency = models.CharField(max_length=3)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "app"],
                condition=Q(ended_at=None),
                nulls_distinct=False,
                name="subscription_rule_one_in_force",
            ),
            models.CheckConstraint(condition=Q(from_amount__gte=0), name="subscription_rule_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.organization}: from {self.from_amount} {self.currency}"


class SubscriptionRequest(models.Model):
    """A subscription that waits for approval: what is asked for, what it was expected to cost, and the decision."""

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        DENIED = "denied"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"approved", "denied", "withdrawn"}),
        "approved": frozenset(),
        "denied": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="subscription_requests")
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="subscription_requests")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="+")
    environment = models.CharField(max_length=10)
    calls = models.PositiveBigIntegerField(help_text="Expected a month.")
    amount = models.DecimalField(
        max_digits=38, decimal_places=18, help_text="Of a month at so many calls, unrounded."
    )
    rule = models.ForeignKey("catalog.SubscriptionRule", models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    note = models.CharField(max_length=500, blank=True)
    requested_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    subscription = models.ForeignKey(
        "catalog.Subscription", models.PROTECT, null=True, blank=True, related_name="requests"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "team", "environment"],
                condition=Q(state="open"),
                name="subscription_request_one_open",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="subscription_request_four_eyes",
                violation_error_message="Nobody decides their own request.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "withdrawn"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="subscription_request_decided_has_decider",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app} for {self.team}"
