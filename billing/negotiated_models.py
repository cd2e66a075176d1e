"""Negotiated prices: a subscription's own price for a charge, from one month to another."""

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import Condition, Delete, Protect, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateRange
from marketplace.core.transitions import Transitions


class NegotiatedPrice(models.Model):
    """Takes the place of a charge of the plan. One that leaves too little to the platform takes a second person."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        AGREED = "agreed"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"agreed", "rejected", "withdrawn"}),
        "agreed": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, related_name="negotiated_prices")
    plan_code = models.CharField(max_length=40, help_text="Holds while the subscription is on this plan.")
    charge_code = models.CharField(max_length=100)
    charge = models.JSONField(help_text="As the pricing calculator reads it; its code is that of the charge.")
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)
    starts_on = models.DateField(help_text="First day of its first month.")
    ends_on = models.DateField(null=True, blank=True, help_text="First day of the first month without it.")
    reason = models.CharField(max_length=500)
    projection = models.JSONField(help_text="A month before and after, as it was on the page.")
    needs_second_person = models.BooleanField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="negotiated_price_one_in_force",
                expressions=[
                    ("subscription", RangeOperators.EQUAL),
                    ("plan_code", RangeOperators.EQUAL),
                    ("charge_code", RangeOperators.EQUAL),
                    (DateRange(F("starts_on"), F("ends_on")), RangeOperators.OVERLAPS),
                ],
                condition=Q(state="agreed"),
            ),
            models.UniqueConstraint(
                fields=["subscription", "charge_code"],
                condition=Q(state="proposed"),
                name="negotiated_price_one_open",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="negotiated_price_four_eyes",
            ),
            models.CheckConstraint(
                condition=~Q(state="agreed", needs_second_person=True) | Q(decided_by__isnull=False),
                name="negotiated_price_below_floor_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(starts_on__day=1)
                & (Q(ends_on__isnull=True) | Q(ends_on__day=1, ends_on__gte=F("starts_on"))),
                name="negotiated_price_whole_months",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="negotiated_price_has_reason"),
        ]
        triggers = [
            Protect(name="negotiated_price_stays", operation=Delete),
            Protect(
                name="negotiated_price_says_the_same",
                operation=UpdateOf("subscription_id", "plan_code", "charge_code", "charge", "starts_on"),
            ),
            Protect(
                name="decided_negotiated_price_stays",
                operation=UpdateOf("state"),
                condition=Condition("OLD.state <> 'proposed'"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.charge_code} of {self.subscription_id} from {self.starts_on:%Y-%m}"
