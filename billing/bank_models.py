"""Bank statements that were read in, and what became of each of their lines."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class BankImport(models.Model):
    """One file of a bank; the same file again is the first import."""

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        CAMT = "camt053", "CAMT.053"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    form = models.CharField(max_length=7, choices=Format)
    file_name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the file.")
    lines_known = models.PositiveIntegerField(default=0, help_text="Lines that an earlier file had.")
    errors = models.JSONField(default=list, help_text="What could not be read: line and why.")
    imported_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    imported_at = models.DateTimeField()

    class Meta:
        triggers = [Protect(name="bank_imports_stay", operation=Delete)]

    def __str__(self) -> str:
        return self.file_name


class BankLine(models.Model):
    """One movement on the house's bank account, applied once."""

    class State(models.TextChoices):
        OPEN = "open"
        APPLIED = "applied"
        DISMISSED = "dismissed"

    class How(models.TextChoices):
        NUMBER = "number", "Number"
        NAME = "name", "Name and amount"
        AMOUNT = "amount", "Amount alone"
        HAND = "hand", "By hand"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"applied", "dismissed"}),
        "applied": frozenset(),
        "dismissed": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    bank_import = models.ForeignKey("billing.BankImport", models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField(help_text="Line of the file, or entry of the statement.")
    account = models.CharField(max_length=34, blank=True)
    reference = models.CharField(max_length=80, help_text="As the bank names it, or made of its content.")
    booked_on = models.DateField()
    amount_minor = models.BigIntegerField(help_text="Below zero it went out.")
    currency = models.CharField(max_length=3)
    name = models.CharField(max_length=140, blank=True)
    text = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="bank_lines"
    )
    how = models.CharField(max_length=6, choices=How, blank=True, help_text="By what it was matched.")
    payment = models.OneToOneField(
        "billing.ReceivedPayment", models.PROTECT, null=True, blank=True, related_name="bank_line"
    )
    balance_entry = models.OneToOneField(
        "billing.BalanceEntry", models.PROTECT, null=True, blank=True, related_name="bank_line"
    )
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    ended_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["account", "reference"], name="bank_line_once"),
            models.CheckConstraint(
                condition=Q(state="applied")
                & (
                    Q(payment__isnull=False, balance_entry__isnull=True)
                    | Q(payment__isnull=True, balance_entry__isnull=False)
                )
                | ~Q(state="applied") & Q(payment__isnull=True, balance_entry__isnull=True),
                name="bank_line_applied_has_money",
            ),
            models.CheckConstraint(
                condition=~Q(state="dismissed") | ~Q(note=""), name="bank_line_dismissed_has_reason"
            ),
        ]
        triggers = [Protect(name="bank_lines_stay", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.reference}: {self.amount_minor} {self.currency}"
