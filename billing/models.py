"""Periods, invoices and statements, revenue share agreements, and the ledger's two tables."""

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Before, Condition, Deferred, Delete, Insert, Protect, Row, Trigger, Update

from billing.agreement_models import AgreementProposal, ShareTrueUp
from billing.allocation_models import (
    AllocationRow,
    AllocationRun,
    SharedCost,
    SharedCostPart,
    SplitRule,
    UnallocatedGoal,
)
from billing.balance_models import BalanceEntry, CustomerBalance
from billing.bank_models import BankImport, BankLine
from billing.billing_profile_models import BillingProfile, ExemptionCertificate
from billing.chargeback_models import (
    BatchedEntry,
    BudgetDebit,
    CostStatement,
    DisputeFile,
    JournalBatch,
    JournalBatchLine,
    RecoverySwitch,
    StatementCorrection,
    StatementDispute,
)
from billing.closing_models import Reopening, StepMark, TotalsIncident
from billing.coupon_models import Coupon, CouponRedemption
from billing.creator_models import CreatorMovement
from billing.credit_note_models import CreditNote, CreditNoteLine
from billing.document_mail_models import DocumentMail
from billing.dunning_models import (
    DunningCharge,
    DunningGroup,
    DunningMember,
    DunningNotice,
    DunningPause,
    DunningPolicy,
    DunningStep,
)
from billing.legal_entity_models import LegalEntity, LegalEntityFacts
from billing.negotiated_models import NegotiatedPrice
from billing.payment_models import PaymentReversal, ReceivedPayment
from billing.payments.account_models import ConnectedAccount, Transfer, TransferReversal
from billing.payments.attempt_models import PaymentAttempt, PaymentDispute, PaymentRefund
from billing.payments.customer_models import MethodSetup, PaymentCustomer, PaymentMethod
from billing.payments.processor_models import BalanceTransaction, FakeCall, FakeObject, ProcessorEvent
from billing.payout_models import BankFile, Payout, PayoutPlan, SelfBill
from billing.progressive_models import ProgressiveBill, ProgressiveThreshold
from billing.run_models import AddedLine, MonthlyRun, ParkedBill, RunBatch
from billing.service_credit_models import MaintenanceWindow, ServiceCredit, ServiceResult, ServiceTerms
from billing.spend_cap_models import SpendCap
from billing.tax_rate_models import AppTaxCategory, TaxCategory, TaxRate
from billing.wallet_models import Wallet, WalletCredit, WalletMovement
from billing.write_off_models import WriteOff
from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions

__all__ = [
    "AddedLine",
    "AgreementProposal",
    "AllocationRow",
    "AllocationRun",
    "AppTaxCategory",
    "BalanceEntry",
    "BalanceTransaction",
    "BankFile",
    "BankImport",
    "BankLine",
    "BatchedEntry",
    "BillingPeriod",
    "BillingProfile",
    "BudgetDebit",
    "ConnectedAccount",
    "CostStatement",
    "Coupon",
    "CouponRedemption",
    "CreatorMovement",
    "CreditNote",
    "CreditNoteLine",
    "CustomerBalance",
    "DisputeFile",
    "DocumentMail",
    "DunningCharge",
    "DunningGroup",
    "DunningMember",
    "DunningNotice",
    "DunningPause",
    "DunningPolicy",
    "DunningStep",
    "ExemptionCertificate",
    "FakeCall",
    "FakeObject",
    "Invoice",
    "InvoiceLine",
    "JournalBatch",
    "JournalBatchLine",
    "JournalEntry",
    "LegalEntity",
    "LegalEntityFacts",
    "MaintenanceWindow",
    "MethodSetup",
    "MonthlyRun",
    "NegotiatedPrice",
    "ParkedBill",
    "PaymentAttempt",
    "PaymentCustomer",
    "PaymentDispute",
    "PaymentMethod",
    "PaymentRefund",
    "PaymentReversal",
    "Payout",
    "PayoutPlan",
    "Posting",
    "ProcessorEvent",
    "ProgressiveBill",
    "ProgressiveThreshold",
    "ReceivedPayment",
    "RecoverySwitch",
    "Reopening",
    "RevenueShareAgreement",
    "RunBatch",
    "SelfBill",
    "ServiceCredit",
    "ServiceResult",
    "ServiceTerms",
    "ShareTrueUp",
    "SharedCost",
    "SharedCostPart",
    "SpendCap",
    "SplitRule",
    "StatementCorrection",
    "StatementDispute",
    "StepMark",
    "TaxCategory",
    "TaxRate",
    "TotalsIncident",
    "Transfer",
    "TransferReversal",
    "UnallocatedGoal",
    "Wallet",
    "WalletCredit",
    "WalletMovement",
    "WriteOff",
]

FINAL = Condition("OLD.state <> 'draft'")
# A finalized invoice may only move between states; everything printed on it stays.
FINAL_INVOICE_CHANGES = """
IF (to_jsonb(OLD) - 'state') IS DISTINCT FROM (to_jsonb(NEW) - 'state') THEN
    RAISE EXCEPTION 'invoice % is finalized and cannot change', OLD.number USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""
FINAL_LINE_CHANGES = """
IF EXISTS (
    SELECT 1 FROM billing_invoice
    WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.invoice_id ELSE NEW.invoice_id END AND state <> 'draft'
) THEN
    RAISE EXCEPTION 'the invoice of this line is finalized' USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
"""
# Checked at commit, when all postings of the entry are there.
UNBALANCED_ENTRY = """
IF EXISTS (
    SELECT 1 FROM billing_posting WHERE entry_id = NEW.entry_id GROUP BY currency HAVING sum(amount_minor) <> 0
) THEN
    RAISE EXCEPTION 'journal entry % does not sum to zero', NEW.entry_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""


# A closed month takes no more entries. The shared lock makes a closing wait for postings under way, and the reverse.
POSTED_INTO_CLOSED = """
IF EXISTS (SELECT 1 FROM billing_billingperiod WHERE name = NEW.period_id AND state = 'closed' FOR SHARE) THEN
    RAISE EXCEPTION 'the month % is closed, nothing is posted into it', NEW.period_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class BillingPeriod(models.Model):
    """A calendar month in UTC."""

    class State(models.TextChoices):
        OPEN = "open"
        CLOSING = "closing"
        CLOSED = "closed"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"closing"}),
        "closing": frozenset({"closed"}),
        "closed": frozenset(),
    }

    name = models.CharField(max_length=7, primary_key=True, help_text="YYYY-MM")
    starts_at = models.DateTimeField(unique=True)
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State, default=State.OPEN)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(name__regex=r"^\d{4}-(0[1-9]|1[0-2])$"), name="period_name_is_month"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="period_ends_after_start"),
        ]

    def __str__(self) -> str:
        return self.name


class RevenueShareAgreement(models.Model):
    """How the price of an app's usage is split between creator and platform, from a date."""

    class Basis(models.TextChoices):
        GROSS = "gross"
        NET_OF_COST = "net_of_cost"

    class Window(models.TextChoices):
        MONTH = "month"
        YEAR = "year"

    app = models.ForeignKey("catalog.App", models.PROTECT, related_name="revenue_shares")
    basis = models.CharField(max_length=12, choices=Basis, default=Basis.NET_OF_COST)
    share = models.DecimalField(max_digits=9, decimal_places=6, help_text="The platform's part, 0 to 1.")
    fees = models.JSONField(
        default=list,
        blank=True,
        help_text="Fees of the platform on each sale: label, percent and fixed amount.",
    )
    tiers = models.JSONField(
        default=list, blank=True, help_text="Other shares of the price from a revenue on: from and share."
    )
    tier_window = models.CharField(max_length=5, choices=Window, default=Window.MONTH)
    guarantee_minor = models.BigIntegerField(default=0, help_text="Least that a month gives the creator.")
    currency = models.CharField(max_length=3, blank=True, help_text="Of fixed fees, tiers and guarantee.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="revenue_share_one_in_force",
                expressions=[
                    ("app", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(share__gte=0, share__lte=1), name="revenue_share_is_fraction"),
            models.CheckConstraint(
                condition=Q(guarantee_minor__gte=0), name="revenue_share_guarantee_is_gift"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app}: {self.share} {self.basis}"


class Invoice(models.Model):
    """What one payer owes for one month: an invoice to an organization, or a statement to a cost center."""

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        STATEMENT = "statement"

    class State(models.TextChoices):
        DRAFT = "draft"
        FINALIZED = "finalized"
        PAID = "paid"
        OVERDUE = "overdue"
        WRITTEN_OFF = "written_off"

    TRANSITIONS: ClassVar[Transitions] = {
        "draft": frozenset({"finalized"}),
        "finalized": frozenset({"paid", "overdue", "written_off"}),
        "overdue": frozenset({"paid", "written_off"}),
        # A payment that went back makes it due again.
        "paid": frozenset({"finalized", "overdue"}),
        "written_off": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=9, choices=Kind)
    number = models.CharField(max_length=40, null=True, blank=True, unique=True)
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, related_name="invoices")
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="invoices")
    cost_center = models.ForeignKey(
        "accounts.CostCenter", models.PROTECT, null=True, blank=True, related_name="statements"
    )
    mode = models.CharField(
        max_length=10, blank=True, help_text="Cost-recovery mode of the cost center then."
    )
    state = models.CharField(max_length=11, choices=State, default=State.DRAFT)
    currency = models.CharField(max_length=3)
    subtotal_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField(default=0)
    issued_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    payer = models.JSONField(default=dict, help_text="Name and address as they were when it was issued.")
    part = models.PositiveIntegerField(
        default=0, db_default=0, help_text="0 for the bill of the whole month, else which one before its end."
    )
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "organization", "cost_center", "currency", "part"],
                name="invoice_one_per_payer",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(state="draft", number__isnull=True) | ~Q(state="draft") & Q(number__isnull=False),
                name="invoice_finalized_has_number",
            ),
            models.CheckConstraint(
                condition=Q(total_minor=F("subtotal_minor") + F("tax_minor")), name="invoice_total_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", cost_center__isnull=True)
                | Q(kind="statement", cost_center__isnull=False),
                name="invoice_statement_has_cost_center",
            ),
        ]
        triggers = [
            Protect(name="finalized_stays", operation=Delete, condition=FINAL),
            Trigger(
                name="finalized_amounts_stay",
                when=Before,
                operation=Update,
                condition=FINAL,
                func=FINAL_INVOICE_CHANGES,
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"draft {self.id}"


class InvoiceLine(models.Model):
    """One charge: quantity, unrounded amount and, rounded once, the amount that counts."""

    class Kind(models.TextChoices):
        """What a line is. The first three are the price of usage, which anybody can work out again from roll-ups."""

        CHARGE = "charge"
        MINIMUM = "minimum"
        MAXIMUM = "maximum"
        DISCOUNT = "discount"
        CREDIT = "credit"
        SLA_CREDIT = "sla_credit"
        PRORATION = "proration"
        PROGRESSIVE = "progressive", "Billed before"
        MANUAL = "manual"

    # What `billing.ledger.repricing` works out again; lines of other kinds are proved where they come from.
    PRICED = (Kind.CHARGE, Kind.MINIMUM, Kind.MAXIMUM)

    invoice = models.ForeignKey("billing.Invoice", models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.CHARGE, db_default=Kind.CHARGE)
    code = models.CharField(max_length=60, help_text="Charge of the plan: fee, calls, cost, …:minimum.")
    description = models.CharField(max_length=200)
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, blank=True, related_name="+")
    subscription = models.ForeignKey("catalog.Subscription", models.PROTECT, null=True, related_name="+")
    plan = models.ForeignKey("catalog.Plan", models.PROTECT, null=True, related_name="+")
    service_starts_at = models.DateTimeField()
    service_ends_at = models.DateTimeField()
    is_correction = models.BooleanField(default=False)
    quantity = models.DecimalField(max_digits=38, decimal_places=18)
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    amount_minor = models.BigIntegerField()
    tax_percent = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    tax_minor = models.BigIntegerField(default=0, help_text="The line's part of the tax of its rate.")
    platform_cost = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    creator_minor = models.BigIntegerField(default=0)
    platform_minor = models.BigIntegerField(default=0)
    explanation = models.JSONField(default=list)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position_unique"),
            models.CheckConstraint(
                condition=Q(amount_minor=F("creator_minor") + F("platform_minor")),
                name="invoice_line_split_is_whole",
            ),
        ]
        triggers = [
            Trigger(
                name="lines_of_finalized_stay",
                when=Before,
                operation=Insert | Update | Delete,
                func=FINAL_LINE_CHANGES,
            ),
        ]

    def __str__(self) -> str:
        return self.description


class JournalEntry(models.Model):
    """One fact in the books. Its postings sum to zero per currency; corrections are new, linked entries."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    idempotency_key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=40)
    posted_at = models.DateTimeField()
    period = models.ForeignKey("billing.BillingPeriod", models.PROTECT, null=True, related_name="entries")
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, null=True, related_name="entries")
    credit_note = models.ForeignKey(
        "billing.CreditNote", models.PROTECT, null=True, blank=True, related_name="entries"
    )
    corrects = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="corrections")
    memo = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "journal entries"
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="closed_takes_no_entries", when=Before, operation=Insert, func=POSTED_INTO_CLOSED),
        ]

    def __str__(self) -> str:
        return self.memo


class Posting(models.Model):
    """A line of a journal entry: positive debits, negative credits, in minor units."""

    entry = models.ForeignKey("billing.JournalEntry", models.PROTECT, related_name="postings")
    account = models.CharField(max_length=40)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, null=True, related_name="+")
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, null=True, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, related_name="+")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["account", "currency"], name="posting_by_account")]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(
                name="entry_balances",
                when=After,
                operation=Insert,
                timing=Deferred,
                level=Row,
                func=UNBALANCED_ENTRY,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount_minor} {self.currency}"
