"""What creators are owed, movement by movement: held until the payer has paid, then available, then paid out."""

from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Deferred, Delete, Insert, Protect, Row, Trigger, Update

from marketplace.core.ids import uuid7

# Checked at commit, when all movements of the entry are there: an account of a creator is a part of the books.
NOT_IN_BOOKS = """
IF NEW.entry_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM (
        SELECT team_id, app_id, currency, -amount_minor AS owed FROM billing_posting
        WHERE entry_id = NEW.entry_id AND account = 'creator_payable'
        UNION ALL
        SELECT team_id, app_id, currency, -(held_minor + available_minor) FROM billing_creatormovement
        WHERE entry_id = NEW.entry_id
    ) AS sides GROUP BY team_id, app_id, currency HAVING sum(owed) <> 0
) THEN
    RAISE EXCEPTION 'movements of entry % are not what the books owe', NEW.entry_id
        USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""


class CreatorMovement(models.Model):
    """One change of what a team is owed for an app; the two parts sum to what the books say, positive when owed.

    ``held`` waits for the payer's money, ``available`` may be paid out. What was paid out and is taken back later makes
    ``available`` negative; it is carried forward.
    """

    class Kind(models.TextChoices):
        EARNED = "earned"
        RELEASED = "released"
        HELD_BACK = "held_back"
        REVERSED = "reversed"
        TOPPED_UP = "topped_up"
        WRITTEN_OFF = "written_off"
        RECOVERED = "recovered"
        RELIEVED = "relieved"
        TAXED = "taxed"
        PAID = "paid"
        RETURNED = "returned"
        ADJUSTED = "adjusted"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=11, choices=Kind)
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="creator_movements")
    app = models.ForeignKey("catalog.App", models.PROTECT, null=True, blank=True, related_name="+")
    currency = models.CharField(max_length=3)
    held_minor = models.BigIntegerField(default=0)
    available_minor = models.BigIntegerField(default=0)
    at = models.DateTimeField(help_text="When it counts: the moment of the entry it follows.")
    entry = models.ForeignKey(
        "billing.JournalEntry", models.PROTECT, null=True, blank=True, related_name="creator_movements"
    )
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="creator_movements"
    )

    class Meta:
        indexes = [models.Index(fields=["team", "currency", "at"], name="creator_movement_of_team")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind__in=["released", "held_back"]) | Q(held_minor=-1 * F("available_minor")),
                name="creator_release_moves_whole",
                violation_error_message="What is released leaves what is held, and nothing else.",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["released", "held_back"]) | Q(entry__isnull=False),
                name="creator_movement_is_in_the_books",
            ),
        ]
        triggers = [
            Protect(name="append_only", operation=Update | Delete),
            Trigger(
                name="movements_are_the_books",
                when=After,
                operation=Insert,
                timing=Deferred,
                level=Row,
                func=NOT_IN_BOOKS,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.held_minor + self.available_minor} {self.currency}"
