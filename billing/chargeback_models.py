"""Chargeback: statements with direct and shared parts, disputes, corrections, and batches for the general ledger."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Before, Condition, Deferred, Delete, Insert, Protect, Row, Trigger, Update

from billing.allocation_models import CLOSED_MONTH
from marketplace.catalog.attachments import KINDS, MAX_FILE_BYTES
from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions

UNBALANCED_BATCH = """
IF EXISTS (SELECT 1 FROM billing_journalbatchline WHERE batch_id = NEW.batch_id HAVING sum(amount_minor) <> 0) THEN
    RAISE EXCEPTION 'journal batch % does not sum to zero', NEW.batch_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""
# What is written of a batch stays; only that it was reversed may be said later.
BATCH_STAYS = """
IF (to_jsonb(OLD) - '{state,reversed_at,reversed_by_id,reason}'::text[])
    IS DISTINCT FROM (to_jsonb(NEW) - '{state,reversed_at,reversed_by_id,reason}'::text[]) THEN
    RAISE EXCEPTION 'journal batch % is posted and cannot change', OLD.external_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class CostStatement(models.Model):
    """What a month came to for a cost center: its own use and its part of what is shared, as published.

    A new revision replaces it when something of the month changed after all; none of them is edited.
    """

    class State(models.TextChoices):
        PUBLISHED = "published"
        REPLACED = "replaced"

    TRANSITIONS: ClassVar[Transitions] = {
        "published": frozenset({"replaced"}),
        "replaced": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="cost_statements")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="cost_statements")
    currency = models.CharField(max_length=3)
    revision = models.PositiveIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.PUBLISHED)
    mode = models.CharField(max_length=10)
    run = models.ForeignKey("billing.AllocationRun", models.PROTECT, related_name="statements")
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, null=True, related_name="cost_statements")
    direct_minor = models.BigIntegerField()
    correction_minor = models.BigIntegerField()
    shared_minor = models.BigIntegerField()
    total_minor = models.BigIntegerField()
    published_at = models.DateTimeField()
    disputable_until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "cost_center", "currency", "revision"],
                name="cost_statement_revision_unique",
            ),
            models.UniqueConstraint(
                fields=["period", "cost_center", "currency"],
                condition=Q(state="published"),
                name="cost_statement_one_published",
            ),
            models.CheckConstraint(
                condition=Q(total_minor=F("direct_minor") + F("correction_minor") + F("shared_minor")),
                name="cost_statement_adds_up",
            ),
        ]
        triggers = [
            Protect(name="cost_statement_stays", operation=Delete),
            Trigger(
                name="cost_statement_amounts_stay",
                when=Before,
                operation=Update,
                func=(
                    "IF (to_jsonb(OLD) - 'state') IS DISTINCT FROM (to_jsonb(NEW) - 'state') THEN RAISE EXCEPTION "
                    "'a published statement cannot change' USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW;"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.cost_center}"

    @property
    def name(self) -> str:
        return self.period_id if self.revision == 1 else f"{self.period_id}, revision {self.revision}"


class StatementDispute(models.Model):
    """That who answers for a cost center does not agree with a part of its statement."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"accepted", "rejected", "withdrawn"}),
        "accepted": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    statement = models.ForeignKey("billing.CostStatement", models.PROTECT, related_name="disputes")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, blank=True, related_name="+")
    amount_minor = models.BigIntegerField(help_text="What is disputed, of the statement's total.")
    reason = models.CharField(max_length=1000)
    event_ids = models.JSONField(default=list, help_text="Events that the dispute is about.")
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    opened_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="Until when finance decides.")
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["statement", "app"],
                condition=Q(state="open"),
                name="dispute_one_open",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0) & ~Q(reason=""), name="dispute_has_amount_and_reason"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("opened_by")),
                name="dispute_four_eyes",
                violation_error_message="Nobody decides their own dispute.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["accepted", "rejected"])
                | Q(decided_by__isnull=False, decided_at__isnull=False) & ~Q(decision_note=""),
                name="dispute_decided_has_reason",
            ),
        ]
        triggers = [
            Protect(name="dispute_stays", operation=Delete),
            Protect(
                name="decided_dispute_stays", operation=Update, condition=Condition("OLD.state <> 'open'")
            ),
        ]

    def __str__(self) -> str:
        return f"dispute of {self.statement_id}"


class DisputeFile(models.Model):
    """A file that came as evidence: small, of a kind that was recognized by its bytes."""

    dispute = models.ForeignKey("billing.StatementDispute", models.PROTECT, related_name="files")
    file_name = models.CharField(max_length=120)
    content_type = models.CharField(max_length=40)
    size_bytes = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(size_bytes__gt=0, size_bytes__lte=MAX_FILE_BYTES, content_type__in=KINDS),
                name="dispute_file_bounded",
            ),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return self.file_name


class StatementCorrection(models.Model):
    """A line of a later month that mends what an earlier one charged; what was published stays as it was.

    What is taken off one cost center may be put on another one: then there are two, of opposite amounts.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="+")
    service_month = models.CharField(max_length=7)
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, blank=True, related_name="+")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    dispute = models.ForeignKey("billing.StatementDispute", models.PROTECT, related_name="corrections")
    description = models.CharField(max_length=90)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dispute", "cost_center"], name="statement_correction_once"),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="statement_correction_has_amount"),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="correction_in_open_month", when=Before, operation=Insert, func=CLOSED_MONTH),
        ]

    def __str__(self) -> str:
        return f"{self.description} {self.amount_minor} {self.currency}"


class JournalBatch(models.Model):
    """What is handed to the general ledger at once: balanced, under an external id that makes a second import harmless.

    Never edited: it is reversed by another batch of opposite lines, and posted anew.
    """

    class State(models.TextChoices):
        POSTED = "posted"
        REVERSED = "reversed"

    TRANSITIONS: ClassVar[Transitions] = {"posted": frozenset({"reversed"}), "reversed": frozenset()}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    external_id = models.CharField(max_length=80, unique=True)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="journal_batches")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.POSTED)
    run = models.ForeignKey("billing.AllocationRun", models.PROTECT, null=True, related_name="batches")
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversal")
    debit_minor = models.BigIntegerField()
    posting_date = models.DateField()
    posted_at = models.DateTimeField()
    posted_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    reversed_at = models.DateTimeField(null=True, blank=True)
    reversed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "journal batches"
        constraints = [
            models.UniqueConstraint(
                fields=["period", "organization", "currency", "number"], name="journal_batch_number_unique"
            ),
            models.CheckConstraint(
                condition=~Q(state="reversed")
                | Q(reversed_by__isnull=False, reversed_at__isnull=False) & ~Q(reason=""),
                name="journal_batch_reversed_says_why",
            ),
        ]
        triggers = [
            Protect(name="journal_batch_stays", operation=Delete),
            Trigger(name="posted_batch_stays", when=Before, operation=Update, func=BATCH_STAYS),
        ]

    def __str__(self) -> str:
        return self.external_id


class JournalBatchLine(models.Model):
    """A line of a batch: positive debits, negative credits, in minor units."""

    batch = models.ForeignKey("billing.JournalBatch", models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    account = models.CharField(max_length=40)
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, null=True, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, related_name="+")
    amount_minor = models.BigIntegerField()
    memo = models.CharField(max_length=200)
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "position"], name="journal_batch_line_position_unique"),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(
                name="batch_balances",
                when=After,
                operation=Insert,
                timing=Deferred,
                level=Row,
                func=UNBALANCED_BATCH,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount_minor}"


class BatchedEntry(models.Model):
    """That an entry of the books is in a batch; in one at a time, so that nothing is handed over twice."""

    batch = models.ForeignKey("billing.JournalBatch", models.PROTECT, related_name="entries")
    entry = models.ForeignKey("billing.JournalEntry", models.PROTECT, related_name="batched")
    released_at = models.DateTimeField(null=True, blank=True, help_text="Since when its batch is reversed.")

    class Meta:
        verbose_name_plural = "batched entries"
        constraints = [
            models.UniqueConstraint(
                fields=["entry"], condition=Q(released_at__isnull=True), name="batched_entry_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} in {self.batch_id}"


class BudgetDebit(models.Model):
    """What a posted batch took from the budget of a cost center in its month; a reversal gives it back."""

    batch = models.ForeignKey("billing.JournalBatch", models.PROTECT, related_name="budget_debits")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="budget_debits")
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "cost_center"], name="budget_debit_once"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return f"{self.cost_center_id} {self.amount_minor} {self.currency}"


class RecoverySwitch(Proposal):
    """That a cost center is charged in another way from a month on, signed off by who answers for it."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="recovery_switches")
    from_mode = models.CharField(max_length=10)
    to_mode = models.CharField(max_length=10)
    starts_month = models.CharField(max_length=7)
    readiness = models.JSONField(default=list, help_text="What was on the page when it was proposed.")
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)

    class Meta:
        verbose_name_plural = "recovery switches"
        constraints = [
            models.UniqueConstraint(
                fields=["cost_center"], condition=Q(state="proposed"), name="recovery_switch_one_open"
            ),
            models.UniqueConstraint(
                fields=["cost_center", "starts_month"],
                condition=Q(state="approved"),
                name="recovery_switch_one_a_month",
            ),
            models.CheckConstraint(condition=~Q(from_mode=F("to_mode")), name="recovery_switch_changes"),
            *four_eyes("recovery_switch", decided=["approved", "rejected"]),
        ]

    def __str__(self) -> str:
        return f"{self.cost_center_id}: {self.to_mode} from {self.starts_month}"
