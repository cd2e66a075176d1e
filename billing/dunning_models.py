"""Reminders of overdue invoices: policies by date, what was sent and charged, and pauses."""

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from pgtrigger import Condition, Delete, Protect, Update

from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions


class DunningGroup(models.Model):
    """Customers that are reminded alike, such as hotels, or those with a frame contract."""

    name = models.CharField(max_length=80, unique=True)

    def __str__(self) -> str:
        return self.name


class DunningMember(models.Model):
    """Which group a customer is in; in none, the policy of its legal entity or of everybody holds."""

    organization = models.OneToOneField(
        "accounts.Organization", models.PROTECT, primary_key=True, related_name="dunning_member"
    )
    group = models.ForeignKey("billing.DunningGroup", models.PROTECT, related_name="members")

    def __str__(self) -> str:
        return f"{self.organization} in {self.group}"


class DunningPolicy(models.Model):
    """How invoices are reminded of that fall due from a date until one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    legal_entity = models.CharField(
        max_length=200, blank=True, help_text="Who issued, as printed on its invoices; empty: anybody."
    )
    group = models.ForeignKey(
        "billing.DunningGroup", models.PROTECT, null=True, blank=True, related_name="policies"
    )
    currency = models.CharField(max_length=3, help_text="Of its fees; invoices in another carry none.")
    spares_weekends = models.BooleanField(default=True, help_text="No calls are stopped on those days, UTC.")
    promise_days = models.PositiveSmallIntegerField(
        default=14, help_text="How long a customer may put reminders off by a promise or a dispute."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "dunning policies"
        constraints = [
            ExclusionConstraint(
                name="dunning_policy_one_in_force",
                expressions=[
                    ("legal_entity", RangeOperators.EQUAL),
                    (
                        Coalesce(F("group"), Value(0), output_field=models.BigIntegerField()),
                        RangeOperators.EQUAL,
                    ),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
        ]
        triggers = [Protect(name="dunning_policies_stay", operation=Delete)]

    def __str__(self) -> str:
        scope = ", ".join(part for part in (self.legal_entity, self.group.name if self.group else "") if part)
        return f"{scope or 'Everybody'}, from {self.starts_at:%d %B %Y}"


class DunningStep(models.Model):
    """One step of a policy: so many days after the due date, in a tone, with or without a fee and interest."""

    class Tone(models.TextChoices):
        FRIENDLY = "friendly"
        FIRM = "firm"
        FINAL = "final"
        STOP = "stop", "Stop calls"

    policy = models.ForeignKey("billing.DunningPolicy", models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    days_after_due = models.PositiveSmallIntegerField()
    tone = models.CharField(max_length=8, choices=Tone)
    text = models.CharField(max_length=240, help_text="With {invoice}, {due} and the like.")
    fee_minor = models.BigIntegerField(default=0)
    interest_percent = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        default=0,
        help_text="A year, of what is due, for the days it is late.",
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "position"], name="dunning_step_position_unique"),
            models.UniqueConstraint(fields=["policy", "days_after_due"], name="dunning_step_day_unique"),
            models.CheckConstraint(
                condition=Q(fee_minor__gte=0, interest_percent__gte=0),
                name="dunning_step_charges_not_negative",
            ),
        ]
        triggers = [Protect(name="dunning_steps_stay", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"step {self.position}, {self.days_after_due} days"

    @property
    def stops_calls(self) -> bool:
        return self.tone == self.Tone.STOP


class DunningNotice(models.Model):
    """One reminder of an invoice, as it was sent."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="dunning_notices")
    step = models.ForeignKey("billing.DunningStep", models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()
    stops_calls = models.BooleanField(default=False)
    text = models.CharField(max_length=300)
    due_minor = models.BigIntegerField(help_text="What was due of the invoice then.")
    sent_at = models.DateTimeField()
    sent_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: by itself."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="dunning_notice_once"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"reminder {self.position} of {self.invoice_id}"


class DunningCharge(models.Model):
    """A fee or interest that a reminder asked for beside its invoice."""

    class Kind(models.TextChoices):
        FEE = "fee"
        INTEREST = "interest"

    class State(models.TextChoices):
        OPEN = "open"
        PAID = "paid"
        WAIVED = "waived"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"paid", "waived"}),
        "paid": frozenset(),
        "waived": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notice = models.ForeignKey("billing.DunningNotice", models.PROTECT, related_name="charges")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="dunning_charges")
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was waived.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notice", "kind"], name="dunning_charge_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="dunning_charge_has_amount"),
            models.CheckConstraint(
                condition=~Q(state="waived") | ~Q(reason=""), name="dunning_charge_waived_has_reason"
            ),
        ]
        triggers = [
            Protect(name="dunning_charges_stay", operation=Delete),
            Protect(
                name="ended_dunning_charge_stays",
                operation=Update,
                condition=Condition("OLD.state <> 'open'"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.amount_minor} {self.currency}"


class DunningPause(models.Model):
    """Reminders of an invoice, or of a customer, rest for a while: they promised, they dispute, or finance waits."""

    class Kind(models.TextChoices):
        PROMISE = "promise", "Promise to pay"
        DISPUTE = "dispute", "Dispute"
        COURTESY = "courtesy", "Courtesy"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="dunning_pauses")
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="dunning_pauses"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    note = models.CharField(max_length=500)
    lifts_stop = models.BooleanField(default=False, help_text="Calls go on meanwhile; only finance says so.")
    is_by_customer = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    made_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="When somebody ended it before its time."
    )
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    answer = models.CharField(max_length=500, blank=True, help_text="What finance said to the customer.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(is_by_customer=True, kind="promise"),
                name="dunning_promise_once",
            ),
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(is_by_customer=True, kind="dispute", ended_at=None),
                name="dunning_dispute_one_open",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="dunning_pause_ends_after_start"
            ),
            models.CheckConstraint(condition=~Q(note=""), name="dunning_pause_has_reason"),
            models.CheckConstraint(
                condition=~Q(is_by_customer=True, lifts_stop=True),
                name="dunning_pause_of_customer_lifts_nothing",
            ),
        ]
        triggers = [Protect(name="dunning_pauses_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.kind} until {self.ends_at:%d %B %Y}"
