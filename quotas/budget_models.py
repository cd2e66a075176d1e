"""Budgets of cost centers and teams: what was agreed on and when, moves between them, and who is told how near a limit is.

How much a budget is stands in its limit, which admission enforces; these tables say what limits do not.
"""

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions

THRESHOLDS = (50, 80, 95, 100)


def usual_thresholds() -> list[int]:
    """Return at how many percent people are told, unless a budget says otherwise."""
    return list(THRESHOLDS)


class Budget(models.Model):
    """That a cost center or team has money to spend a month. How much is said by its limit, since when by its versions."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="+"
    )
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, blank=True, related_name="+")
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(),
        default=usual_thresholds,
        help_text="At how many percent its owner and finance are told.",
    )
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(cost_center__isnull=True, team__isnull=False)
                | Q(cost_center__isnull=False, team__isnull=True),
                name="budget_has_one_owner",
            ),
            models.UniqueConstraint(fields=["cost_center"], name="budget_one_of_cost_center"),
            models.UniqueConstraint(fields=["team"], name="budget_one_of_team"),
        ]

    def __str__(self) -> str:
        return f"budget of {self.team or self.cost_center}"

    @property
    def owner_kind(self) -> str:
        return "team" if self.team_id else "cost_center"

    @property
    def owner_pk(self) -> int:
        return int(self.team_id or self.cost_center_id or 0)

    @property
    def owner_key(self) -> tuple[str, int]:
        return self.owner_kind, self.owner_pk


class BudgetVersion(models.Model):
    """What a budget was from one moment to another. The one in force says what its limit says."""

    budget = models.ForeignKey("quotas.Budget", models.PROTECT, related_name="versions")
    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="budget_versions")
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    currency = models.CharField(max_length=3)
    mode = models.CharField(max_length=4)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    move = models.ForeignKey("quotas.BudgetMove", models.PROTECT, null=True, related_name="versions")

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="budget_version_one_in_force",
                expressions=[
                    ("budget", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="budget_version_not_negative"),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="budget_version_ends_after_start",
            ),
        ]
        triggers = [Protect(name="budget_versions_end", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency} a month from {self.starts_at:%Y-%m-%d}"

    def is_in_force(self, at: object) -> bool:
        """Tell whether it holds at this time."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)  # type: ignore[operator]


class BudgetMove(models.Model):
    """Money that one budget gives to another each month from now on, once the owners of both agree.

    When it is accepted it keeps what both were before and are since; their sum is the same.
    """

    class State(models.TextChoices):
        OFFERED = "offered"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "offered": frozenset({"accepted", "declined", "withdrawn"}),
        "accepted": frozenset(),
        "declined": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    from_budget = models.ForeignKey("quotas.Budget", models.PROTECT, related_name="moves_out")
    to_budget = models.ForeignKey("quotas.Budget", models.PROTECT, related_name="moves_in")
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.OFFERED)
    offered_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    offered_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=500, blank=True)
    from_before = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    from_after = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    to_before = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    to_after = models.DecimalField(max_digits=38, decimal_places=18, null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="budget_move_is_positive"),
            models.CheckConstraint(condition=~Q(from_budget=F("to_budget")), name="budget_move_between_two"),
            models.CheckConstraint(
                condition=Q(state="offered", decided_at__isnull=True)
                | ~Q(state="offered") & Q(decided_at__isnull=False, decided_by__isnull=False),
                name="budget_move_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state="accepted")
                | Q(
                    from_before__isnull=False,
                    from_after__gte=0,
                    to_before__isnull=False,
                    from_after=F("from_before") - F("amount"),
                    to_after=F("to_before") + F("amount"),
                ),
                name="budget_move_conserves",
            ),
        ]
        indexes = [
            models.Index(fields=["from_budget", "-offered_at"], name="budget_move_by_giver"),
            models.Index(fields=["to_budget", "-offered_at"], name="budget_move_by_taker"),
        ]

    def __str__(self) -> str:
        return (
            f"{self.amount.normalize():f} {self.currency} from {self.from_budget_id} to {self.to_budget_id}"
        )


class LimitAlert(models.Model):
    """That people were told that so many percent of a limit are used in one window: once, whatever comes after."""

    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="alerts")
    window_starts_at = models.DateTimeField()
    percent = models.PositiveSmallIntegerField()
    used = models.DecimalField(max_digits=38, decimal_places=18)
    limit_value = models.DecimalField(max_digits=38, decimal_places=18)
    told_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["limit", "window_starts_at", "percent"], name="limit_alert_told_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of limit {self.limit_id} from {self.window_starts_at:%Y-%m-%d}"


class LimitRefusal(models.Model):
    """That a budget began to refuse calls: written once for each window and amount, and told of once."""

    limit = models.ForeignKey("quotas.Limit", models.PROTECT, related_name="refusals")
    window_starts_at = models.DateTimeField()
    limit_value = models.DecimalField(max_digits=38, decimal_places=18)
    used = models.DecimalField(max_digits=38, decimal_places=18, help_text="Spent and held at that moment.")
    asked = models.DecimalField(max_digits=38, decimal_places=18)
    first_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["limit", "window_starts_at", "limit_value"], name="limit_refusal_once"
            ),
        ]
        indexes = [
            models.Index(fields=["first_at"], name="limit_refusal_not_told", condition=Q(told_at=None))
        ]

    def __str__(self) -> str:
        return f"limit {self.limit_id} refuses from {self.first_at:%Y-%m-%d %H:%M}"


class LimitWatch(models.Model):
    """That a person wants to be told when so many percent of a budget, or of a subscription's limits, are used."""

    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="limit_watches")
    budget = models.ForeignKey("quotas.Budget", models.CASCADE, null=True, related_name="watches")
    subscription = models.ForeignKey("catalog.Subscription", models.CASCADE, null=True, related_name="+")
    percent = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "limit watches"
        constraints = [
            models.UniqueConstraint(
                fields=["person", "budget", "subscription", "percent"],
                name="limit_watch_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(budget__isnull=True, subscription__isnull=False)
                | Q(budget__isnull=False, subscription__isnull=True),
                name="limit_watch_of_one_thing",
            ),
            models.CheckConstraint(condition=Q(percent__gte=1, percent__lte=100), name="limit_watch_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.person} at {self.percent} %"
