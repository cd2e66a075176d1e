"""Coupons and who redeemed them. A coupon lowers what is paid; the platform bears it, creators are paid as without it."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Protect, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class Coupon(models.Model):
    """A discount that whoever knows its code may have. What it gives never changes; it can be ended."""

    class State(models.TextChoices):
        ACTIVE = "active"
        ENDED = "ended"

    class Scope(models.TextChoices):
        LINE = "line", "lines of a subscription"
        PLAN = "plan", "a subscription"
        INVOICE = "invoice", "the whole bill"

    class Duration(models.TextChoices):
        ONCE = "once", "one month"
        REPEATING = "repeating", "several months"
        FOREVER = "forever", "until it is taken off"

    TRANSITIONS: ClassVar[Transitions] = {"active": frozenset({"ended"}), "ended": frozenset()}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.CharField(max_length=40, unique=True)
    title = models.CharField(max_length=100)
    state = models.CharField(max_length=6, choices=State, default=State.ACTIVE)
    scope = models.CharField(max_length=7, choices=Scope)
    percent = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)
    amount_minor = models.BigIntegerField(null=True, blank=True, help_text="In minor units of the currency.")
    currency = models.CharField(max_length=3, blank=True, help_text="Of the amount; empty for percents.")
    duration = models.CharField(max_length=9, choices=Duration)
    months = models.PositiveSmallIntegerField(null=True, blank=True, help_text="How many, when it repeats.")
    charges = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    apps = ArrayField(
        models.CharField(max_length=60), default=list, blank=True, help_text="Slugs; none is all."
    )
    plans = ArrayField(
        models.CharField(max_length=110), default=list, blank=True, help_text="app/plan; none is all."
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Cannot be redeemed from then on.")
    most_redemptions = models.PositiveIntegerField(null=True, blank=True)
    redemptions_count = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(most_redemptions__isnull=True) | Q(redemptions_count__lte=F("most_redemptions")),
                name="coupon_within_most_redemptions",
            ),
            models.CheckConstraint(
                condition=Q(percent__gt=0, percent__lte=100, amount_minor__isnull=True, currency="")
                | Q(percent__isnull=True, amount_minor__gt=0) & ~Q(currency=""),
                name="coupon_percent_or_amount",
            ),
            models.CheckConstraint(
                condition=Q(duration="repeating", months__gt=0)
                | ~Q(duration="repeating") & Q(months__isnull=True),
                name="coupon_repeats_some_months",
            ),
            models.CheckConstraint(condition=Q(scope="line") | Q(charges=[]), name="coupon_charges_of_lines"),
            models.CheckConstraint(
                condition=~Q(scope="invoice") | Q(apps=[], plans=[]), name="coupon_invoice_is_for_all_apps"
            ),
        ]
        triggers = [
            Protect(name="coupon_stays", operation=Delete),
            Protect(
                name="coupon_gives_the_same",
                operation=UpdateOf(
                    "code", "scope", "percent", "amount_minor", "currency", "duration", "months", "charges", "apps",
                    "plans",
                ),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.code

    @property
    def percent_text(self) -> str:
        """Write the percents without zeros at the end."""
        return "" if self.percent is None else f"{self.percent.normalize():f}"

    def fits(self, *, app: str, plan: str) -> bool:
        """Tell whether it may be used for a plan of an app."""
        return (not self.apps or app in self.apps) and (not self.plans or f"{app}/{plan}" in self.plans)


class CouponRedemption(models.Model):
    """A coupon at work: on a subscription, or on all bills of a payer, for whole months."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    coupon = models.ForeignKey("billing.Coupon", models.PROTECT, related_name="redemptions")
    subscription = models.ForeignKey(
        "catalog.Subscription", models.PROTECT, null=True, blank=True, related_name="+"
    )
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="+"
    )
    starts_on = models.DateField(help_text="First day of the first month.")
    ends_on = models.DateField(null=True, blank=True, help_text="First day of the first month without it.")
    redeemed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    redeemed_at = models.DateTimeField()
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["coupon", "subscription", "organization", "cost_center"],
                name="coupon_redeemed_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                name="coupon_redemption_ends_later",
            ),
        ]
        triggers = [
            Protect(name="redemption_stays", operation=Delete),
            Protect(
                name="redemption_is_for_the_same",
                operation=UpdateOf(
                    "coupon_id", "subscription_id", "organization_id", "cost_center_id", "starts_on"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.coupon} for {self.subscription or self.cost_center or self.organization}"
