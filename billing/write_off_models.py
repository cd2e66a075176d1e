"""What is not expected to be paid any more."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import After, Condition, Delete, Insert, Protect, Trigger, Update

from billing.due_sql import DUE
from marketplace.core.ids import uuid7
from marketplace.core.models import Proposal
from marketplace.core.proposing import four_eyes
from marketplace.core.transitions import Transitions

BEYOND_DUE = f"""
IF NEW.state = 'posted' THEN
    PERFORM 1 FROM billing_invoice WHERE id = NEW.invoice_id FOR UPDATE;
    IF {DUE} < 0 THEN
        RAISE EXCEPTION 'more is written off than is due of invoice %', NEW.invoice_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END IF;
RETURN NULL;
"""


class WriteOff(Proposal):
    """What is left of an invoice, given up: as a bad debt with a reason, or as a difference too small to ask for."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        POSTED = "posted"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    class Kind(models.TextChoices):
        BAD_DEBT = "bad_debt", "Bad debt"
        SMALL_DIFFERENCE = "small_difference", "Small difference"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"posted", "rejected", "withdrawn"}),
        "posted": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, related_name="write_offs")
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)
    amount_minor = models.BigIntegerField(help_text="What was due when it was posted, or proposed.")
    takes_tax_back = models.BooleanField(
        default=True, help_text="The tax of a bad debt need not be paid; where the law says otherwise, not."
    )
    tax_minor = models.BigIntegerField(default=0, help_text="Of it, the tax that is taken back.")
    creator_minor = models.BigIntegerField(default=0, help_text="Of it, what creators are not paid.")
    needs_second_person = models.BooleanField()
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(state__in=["proposed", "posted"]),
                name="write_off_one_of_invoice",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="write_off_has_amount"),
            models.CheckConstraint(condition=~Q(reason=""), name="write_off_has_reason"),
            models.CheckConstraint(
                condition=~Q(state="posted", needs_second_person=True) | Q(decided_by__isnull=False),
                name="write_off_big_has_decider",
            ),
            *four_eyes("write_off", decided=["rejected"])[:1],
            models.CheckConstraint(
                condition=Q(state="posted", posted_at__isnull=False)
                | ~Q(state="posted") & Q(posted_at__isnull=True),
                name="write_off_posted_has_time",
            ),
        ]
        triggers = [
            Protect(name="write_off_stays", operation=Delete),
            Protect(
                name="decided_write_off_stays",
                operation=Update,
                condition=Condition("OLD.state <> 'proposed'"),
            ),
            Trigger(name="write_off_within_due", when=After, operation=Insert | Update, func=BEYOND_DUE),
        ]

    def __str__(self) -> str:
        return f"write-off of {self.amount_minor} of {self.invoice_id}"
