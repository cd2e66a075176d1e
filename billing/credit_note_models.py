"""Credit notes: what is given back of a finalized invoice, and the parts of its lines."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Before, Condition, Delete, Insert, Protect, Trigger, Update

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

# Locks the invoice, so that of two notes issued at once the second one sees the first, whoever wrote them.
BEYOND_INVOICE = """
IF NEW.state <> 'issued' THEN
    RETURN NULL;
END IF;
PERFORM 1 FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
IF (SELECT sum(total_minor) FROM billing_creditnote WHERE invoice_id = NEW.invoice_id AND state = 'issued')
    > (SELECT total_minor FROM billing_invoice WHERE id = NEW.invoice_id)
OR EXISTS (
    SELECT 1 FROM billing_creditnoteline part
    JOIN billing_creditnote note ON note.id = part.credit_note_id
    JOIN billing_invoiceline line ON line.id = part.line_id
    WHERE note.invoice_id = NEW.invoice_id AND note.state = 'issued'
    GROUP BY line.id
    HAVING abs(sum(part.net_minor + part.tax_minor)) > abs(line.amount_minor + line.tax_minor)
        OR line.invoice_id <> NEW.invoice_id
) THEN
    RAISE EXCEPTION 'more is credited than invoice % says', NEW.invoice_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
IF EXISTS (
    SELECT 1 FROM (
        SELECT coalesce(sum(net_minor), 0) AS net, coalesce(sum(tax_minor), 0) AS tax
        FROM billing_creditnoteline WHERE credit_note_id = NEW.id
    ) AS parts WHERE parts.net <> NEW.net_minor OR parts.tax <> NEW.tax_minor
) THEN
    RAISE EXCEPTION 'credit note % is not the sum of its lines', NEW.id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""
LINE_OF_DECIDED = """
IF EXISTS (SELECT 1 FROM billing_creditnote WHERE id = NEW.credit_note_id AND state <> 'proposed') THEN
    RAISE EXCEPTION 'the credit note of this line is issued' USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class CreditNote(models.Model):
    """What somebody wants to give back of an invoice or statement; once issued, part of the books.

    Amounts are positive: they are taken off what the invoice says. Until it is issued they are those that the
    proposal came to when it was made.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ISSUED = "issued"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"issued", "rejected", "withdrawn"}),
        "issued": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="credit_notes")
    number = models.CharField(max_length=40, null=True, blank=True, unique=True)
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)
    asked = models.JSONField(help_text="Everything that is left, an amount, or amounts of lines by position.")
    reason = models.CharField(max_length=500)
    needs_second_person = models.BooleanField()
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField(help_text="What the payer gets back, tax included.")
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True)
    issued_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(state="proposed"), name="credit_note_one_open"
            ),
            models.UniqueConstraint(
                fields=["proposed_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="credit_note_idempotency_key_unique",
            ),
            models.CheckConstraint(
                condition=Q(state="issued", number__isnull=False, issued_at__isnull=False)
                | ~Q(state="issued") & Q(number__isnull=True, issued_at__isnull=True),
                name="credit_note_issued_has_number",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="credit_note_four_eyes",
                violation_error_message="Nobody decides their own proposal.",
            ),
            models.CheckConstraint(
                condition=~Q(state="issued", needs_second_person=True) | Q(decided_by__isnull=False),
                name="credit_note_big_has_decider",
            ),
            models.CheckConstraint(
                condition=Q(total_minor=F("net_minor") + F("tax_minor"), total_minor__gt=0),
                name="credit_note_total_adds_up",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="credit_note_has_reason"),
        ]
        triggers = [
            Protect(name="credit_note_stays", operation=Delete),
            Protect(
                name="decided_credit_note_stays",
                operation=Update,
                condition=Condition("OLD.state <> 'proposed'"),
            ),
            Trigger(name="credit_within_invoice", when=After, operation=Insert | Update, func=BEYOND_INVOICE),
        ]

    def __str__(self) -> str:
        return self.number or f"credit note proposed for {self.invoice_id}"


class CreditNoteLine(models.Model):
    """What is given back of one invoice line: net, its tax, and the creator's and the platform's part of the net."""

    credit_note = models.ForeignKey("billing.CreditNote", models.PROTECT, related_name="lines")
    line = models.ForeignKey("billing.InvoiceLine", models.PROTECT, related_name="credits")
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    creator_minor = models.BigIntegerField()
    platform_minor = models.BigIntegerField()

    class Meta:
        ordering = ["line__position"]
        constraints = [
            models.UniqueConstraint(fields=["credit_note", "line"], name="credit_note_line_once"),
            models.CheckConstraint(
                condition=Q(net_minor=F("creator_minor") + F("platform_minor")),
                name="credit_note_line_split_is_whole",
            ),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(name="lines_before_issue", when=Before, operation=Insert, func=LINE_OF_DECIDED),
        ]

    def __str__(self) -> str:
        return f"{self.net_minor + self.tax_minor} of line {self.line_id}"
