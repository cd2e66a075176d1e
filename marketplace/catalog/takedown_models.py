"""Taking a live app out of the catalogue, at once or by a date, and appeals against such decisions."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from pgtrigger import Protect, UpdateOf

from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions

ENDED: frozenset[str] = frozenset()


class Takedown(Proposal):
    """That a live app leaves the catalogue: proposed by one approver, decided by another.

    With a date by which to fix it, the app stays live until then; an approved new version ends the takedown.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed"
        PENDING = "pending"
        DONE = "done"
        FIXED = "fixed"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        REVERSED = "reversed"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"pending", "done", "rejected", "withdrawn", "fixed"}),
        "pending": frozenset({"done", "fixed", "reversed"}),
        "done": frozenset({"reversed"}),
        "fixed": ENDED,
        "rejected": ENDED,
        "withdrawn": ENDED,
        "reversed": ENDED,
    }
    OPEN: ClassVar[tuple[str, ...]] = ("proposed", "pending")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="takedowns")
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="takedowns")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    policy_url = models.URLField(blank=True)
    fix_by = models.DateTimeField(null=True, blank=True, help_text="Live until then; empty: at once.")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app"], condition=Q(state__in=["proposed", "pending"]), name="takedown_one_open"
            ),
            *four_eyes("takedown", decided=["pending", "done", "rejected", "reversed"]),
            models.CheckConstraint(
                condition=~Q(state="pending") | Q(fix_by__isnull=False), name="takedown_pending_has_date"
            ),
        ]

    def __str__(self) -> str:
        return f"Takedown of {self.version}"


class Appeal(models.Model):
    """The wish of an app's makers that a rejection or a takedown be looked at by somebody else.

    ``first_decider`` and ``second_decider`` are copied from what is appealed against, so that the database can refuse them.
    """

    class State(models.TextChoices):
        OPEN = "open"
        GRANTED = "granted"
        REFUSED = "refused"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"granted", "refused", "withdrawn"}),
        "granted": ENDED,
        "refused": ENDED,
        "withdrawn": ENDED,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="appeals")
    review = models.OneToOneField("catalog.Review", models.CASCADE, null=True, related_name="appeal")
    takedown = models.OneToOneField("catalog.Takedown", models.CASCADE, null=True, related_name="appeal")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    text = models.TextField()
    appealed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    appealed_at = models.DateTimeField()
    due_at = models.DateTimeField()
    first_decider = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    second_decider = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(review__isnull=True, takedown__isnull=False)
                | Q(review__isnull=False, takedown__isnull=True),
                name="appeal_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | ~Q(decided_by=F("first_decider"))
                & ~Q(decided_by=F("second_decider"))
                & ~Q(decided_by=F("appealed_by")),
                name="appeal_other_reviewer",
                violation_error_message="An appeal is decided by somebody who did not decide before.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["granted", "refused"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="appeal_has_decider",
            ),
        ]
        triggers = [
            Protect(
                name="appeal_stays",
                operation=UpdateOf(
                    "first_decider_id", "second_decider_id", "appealed_by_id", "review_id", "takedown_id"
                ),
            )
        ]

    def __str__(self) -> str:
        return f"Appeal for {self.app}"
