"""Whose an app is and was: dated ownership, and transfers that two sides agree on."""

from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from pgtrigger import After, Condition, Deferred, Delete, Insert, Protect, Row, Trigger, Update, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.ranges import DateTimeRange
from marketplace.core.transitions import Transitions

GAP_IN_OWNERSHIP = """
IF EXISTS (
    SELECT FROM catalog_appownership owned WHERE owned.app_id = NEW.app_id AND owned.ends_at IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM catalog_appownership next WHERE next.app_id = owned.app_id AND next.starts_at = owned.ends_at
    )
) THEN
    RAISE EXCEPTION 'app % has nobody who owns it for some time', NEW.app_id
        USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NULL;
"""
FIRST_OWNERSHIP = """
INSERT INTO catalog_appownership (app_id, team_id, starts_at) VALUES (NEW.id, NEW.owner_team_id, NEW.created_at);
RETURN NULL;
"""


def first_ownership() -> Trigger:
    """Build the trigger on apps by which a new one has an owner from its first moment on."""
    return Trigger(name="owned_from_the_start", when=After, operation=Insert, level=Row, func=FIRST_OWNERSHIP)


class AppOwnership(models.Model):
    """That a team owns an app for some time. At any moment exactly one does; the first one also before it began.

    What was is never changed: an ownership only ends, where the next one begins.
    """

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="ownerships")
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="app_ownership_one_owner",
                expressions=[
                    ("app", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")), name="app_ownership_lasts"
            ),
        ]
        triggers = [
            Trigger(
                name="ownership_no_gap",
                when=After,
                operation=Insert | Update,
                timing=Deferred,
                level=Row,
                func=GAP_IN_OWNERSHIP,
            ),
            Protect(name="ownership_stays", operation=UpdateOf("app_id", "team_id", "starts_at") | Delete),
            Protect(
                name="ownership_ends_once",
                operation=UpdateOf("ends_at"),
                condition=Condition("OLD.ends_at IS NOT NULL"),
            ),
            # Every transfer ends an ownership; that of a new app changes nothing anybody remembers.
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_ownerships", operation=UpdateOf("ends_at")),
        ]

    def __str__(self) -> str:
        return f"{self.team} from {self.starts_at:%Y-%m-%d}"


class AppTransfer(models.Model):
    """A wish of an app's owner that another team takes it over, until that team agrees."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"accepted", "declined", "withdrawn"}),
        "accepted": frozenset(),
        "declined": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="transfers")
    from_team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    to_team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=State, default=State.PROPOSED)
    starts_at = models.DateTimeField(null=True, help_text="Null: as soon as it is accepted.")
    reason = models.TextField()
    proposed_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app"], condition=Q(state="proposed"), name="app_transfer_one_open"
            ),
            models.CheckConstraint(condition=~Q(from_team=F("to_team")), name="app_transfer_moves"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("proposed_by")),
                name="app_transfer_four_eyes",
                violation_error_message="Nobody accepts their own transfer.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["accepted", "declined"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="app_transfer_decided_has_decider",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.app} to {self.to_team}"
