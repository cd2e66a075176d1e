"""How creators are paid, what is paid, and the files that a bank gets."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Before, Condition, Delete, Insert, Protect, Trigger, Update

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

# What is on its way already counts as gone. Locks the plan, so that of two workers the second sees the first.
BEYOND_BALANCE = """
IF NEW.state NOT IN ('scheduled', 'held') THEN
    RETURN NEW;
END IF;
PERFORM 1 FROM billing_payoutplan WHERE id = NEW.plan_id FOR UPDATE;
IF NEW.amount_minor + (
    SELECT coalesce(sum(amount_minor), 0) FROM billing_payout
    WHERE plan_id = NEW.plan_id AND state IN ('scheduled', 'held') AND id <> NEW.id
) > (
    SELECT coalesce(sum(available_minor), 0) FROM billing_creatormovement
    WHERE team_id = NEW.team_id AND currency = NEW.currency
) AND (TG_OP = 'INSERT' OR OLD.state NOT IN ('scheduled', 'held')) THEN
    RAISE EXCEPTION 'more would be paid than team % has available', NEW.team_id
        USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class PayoutPlan(models.Model):
    """Where and when a team is paid in one currency."""

    class Method(models.TextChoices):
        INTERNAL = "internal", "Journal credit to the team's cost center"
        BANK = "bank", "Bank transfer"
        STRIPE = "stripe", "Stripe"

    class Schedule(models.TextChoices):
        MONTHLY = "monthly", "On a day of the month"
        WEEKLY = "weekly", "On a day of the week"

    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="payout_plans")
    currency = models.CharField(max_length=3)
    method = models.CharField(max_length=8, choices=Method)
    holder = models.CharField(max_length=70, blank=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    schedule = models.CharField(max_length=7, choices=Schedule, default=Schedule.MONTHLY)
    day = models.PositiveSmallIntegerField(
        default=10, help_text="Of the month, 1 to 28; of the week, 1 (Monday) to 7."
    )
    threshold_minor = models.BigIntegerField(default=0, help_text="Less than this waits for the next time.")
    hold_days = models.PositiveSmallIntegerField(
        default=7, help_text="Days that money waits after it is released."
    )
    vat_id = models.CharField(max_length=30, blank=True)
    address = models.CharField(max_length=300, blank=True)
    consented_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    consented_at = models.DateTimeField(null=True, blank=True)
    consent_text = models.TextField(blank=True, help_text="What was agreed to, word by word.")
    changed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "currency"], name="payout_plan_one_per_currency"),
            models.CheckConstraint(
                condition=Q(schedule="monthly", day__gte=1, day__lte=28)
                | Q(schedule="weekly", day__gte=1, day__lte=7),
                name="payout_plan_day_exists",
            ),
            models.CheckConstraint(condition=Q(threshold_minor__gte=0), name="payout_plan_threshold"),
            models.CheckConstraint(
                condition=Q(consented_at__isnull=True, consent_text="")
                | Q(consented_at__isnull=False, consented_by__isnull=False) & ~Q(consent_text=""),
                name="payout_plan_consent_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team} in {self.currency}"

    @property
    def is_external(self) -> bool:
        """Tell whether money leaves the house: a cost center gets a journal credit instead."""
        return self.method != self.Method.INTERNAL


class BankFile(models.Model):
    """A file of bank transfers as it was handed out (pain.001); the same file is given again byte by byte."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message_id = models.CharField(max_length=35, unique=True)
    currency = models.CharField(max_length=3)
    execution_date = models.DateField()
    content = models.TextField()
    made_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return self.message_id


class Payout(models.Model):
    """What a team is paid on one day."""

    class State(models.TextChoices):
        SCHEDULED = "scheduled"
        HELD = "held"
        PAID = "paid"
        FAILED = "failed"

    TRANSITIONS: ClassVar[Transitions] = {
        "scheduled": frozenset({"held", "paid", "failed"}),
        "held": frozenset({"scheduled", "failed"}),
        "failed": frozenset({"scheduled"}),
        "paid": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, help_text="Team, currency and day: one payout each.")
    plan = models.ForeignKey("billing.PayoutPlan", models.PROTECT, related_name="payouts")
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="payouts")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.SCHEDULED)
    method = models.CharField(max_length=8, choices=PayoutPlan.Method)
    destination = models.JSONField(help_text="Where it goes, as the plan said when it was scheduled.")
    due_date = models.DateField()
    created_at = models.DateTimeField()
    needs_second_person = models.BooleanField()
    approved_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    second_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    second_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it is held, failed or tried again.")
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    file = models.ForeignKey(
        "billing.BankFile", models.PROTECT, null=True, blank=True, related_name="payouts"
    )
    reference = models.CharField(max_length=100, blank=True, help_text="As the bank or Stripe names it.")
    paid_at = models.DateTimeField(null=True, blank=True)
    entry = models.OneToOneField(
        "billing.JournalEntry", models.PROTECT, null=True, blank=True, related_name="payout"
    )

    class Meta:
        indexes = [models.Index(fields=["state", "due_date"], name="payout_by_state")]
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payout_pays_something"),
            models.CheckConstraint(
                condition=Q(state="paid", entry__isnull=False, paid_at__isnull=False)
                | ~Q(state="paid") & Q(entry__isnull=True, paid_at__isnull=True),
                name="payout_paid_is_in_the_books",
            ),
            models.CheckConstraint(
                condition=Q(second_by__isnull=True) | ~Q(second_by=F("approved_by")),
                name="payout_four_eyes",
                violation_error_message="Nobody approves a payout twice.",
            ),
            models.CheckConstraint(
                condition=Q(sent_at__isnull=True)
                | Q(approved_by__isnull=False) & (Q(needs_second_person=False) | Q(second_by__isnull=False)),
                name="payout_sent_is_approved",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["held", "failed"]) | ~Q(reason=""), name="payout_stopped_has_reason"
            ),
        ]
        triggers = [
            Protect(name="payout_stays", operation=Delete),
            Protect(name="paid_payout_stays", operation=Update, condition=Condition("OLD.state = 'paid'")),
            Trigger(
                name="payout_within_balance", when=Before, operation=Insert | Update, func=BEYOND_BALANCE
            ),
        ]

    def __str__(self) -> str:
        return f"payout of {self.due_date} to {self.team}"

    @property
    def is_approved(self) -> bool:
        """Tell whether as many people agreed as it takes."""
        return self.approved_by_id is not None and (
            not self.needs_second_person or self.second_by_id is not None
        )


class SelfBill(models.Model):
    """An invoice, or a credit note, that the house writes in the name of a creator who agreed to it."""

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=11, choices=Kind)
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="self_bills")
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="self_bills")
    currency = models.CharField(max_length=3)
    lines = models.JSONField(help_text="Description and amount in minor units, an app and kind each.")
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    tax_note = models.CharField(max_length=300, blank=True)
    parties = models.JSONField(help_text="Supplier and recipient as they were then, and the consent.")
    issued_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "period", "currency"], name="self_bill_once_a_month"),
            models.CheckConstraint(condition=~Q(net_minor=0), name="self_bill_says_something"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return self.number
