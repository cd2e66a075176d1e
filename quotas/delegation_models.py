"""Who decides for somebody else, from when to when."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q

from marketplace.core.ranges import DateTimeRange


class Delegation(models.Model):
    """That a delegate decides in the place of somebody, from one moment to another, in all or one kind of review.

    It gives a right and moves nothing: what somebody may decide is asked at the moment of the decision.
    """

    class Scope(models.TextChoices):
        ALL = "all", "Everything"
        COST = "cost_review", "Cost reviews"
        CAPACITY = "capacity_review", "Capacity reviews"

    delegator = models.ForeignKey("accounts.User", models.PROTECT, related_name="delegations")
    delegate = models.ForeignKey("accounts.User", models.PROTECT, related_name="delegated_to_me")
    scope = models.CharField(max_length=20, choices=Scope, default=Scope.ALL)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(delegate=F("delegator")),
                name="delegation_to_another",
                violation_error_message="Nobody delegates to themselves.",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gte=F("starts_at")), name="delegation_ends_after_start"
            ),
            ExclusionConstraint(
                name="delegation_one_at_a_time",
                expressions=[
                    ("delegator", RangeOperators.EQUAL),
                    ("scope", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
        ]
        indexes = [models.Index(fields=["delegate", "ends_at"], name="delegation_by_delegate")]

    def __str__(self) -> str:
        return f"{self.delegate} for {self.delegator}"
