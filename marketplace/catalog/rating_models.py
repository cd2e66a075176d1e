"""What people who called an app think of it."""

from django.db import models
from django.db.models import Q
from pgtrigger import Before, Delete, Insert, Row, Trigger, Update

from marketplace.catalog import entries
from marketplace.core.ids import uuid7

BY_OWNER = """
IF EXISTS (SELECT FROM catalog_app a WHERE a.id = NEW.app_id AND a.owner_team_id = NEW.team_id) THEN
    RAISE EXCEPTION 'the owner of app % does not rate it', NEW.app_id USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN NEW;
"""


class Rating(models.Model):
    """One to five stars and a text, one of a person for an app, by somebody whose team has called it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="ratings")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="ratings")
    team = models.ForeignKey(
        "accounts.Team", models.PROTECT, related_name="+", help_text="Whose calls gave the right to rate."
    )
    stars = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True, max_length=2000)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    hidden_at = models.DateTimeField(null=True, blank=True)
    hidden_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    hidden_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "person"], name="rating_one_of_a_person"),
            models.CheckConstraint(condition=Q(stars__gte=1, stars__lte=5), name="rating_one_to_five"),
            models.CheckConstraint(
                condition=Q(hidden_at=None, hidden_by=None, hidden_reason="")
                | Q(hidden_at__isnull=False, hidden_by__isnull=False) & ~Q(hidden_reason=""),
                name="rating_hidden_has_reason",
            ),
        ]
        triggers = [
            Trigger(
                name="rating_not_by_owner", when=Before, operation=Insert | Update, level=Row, func=BY_OWNER
            ),
            entries.keep_entry("entry_of_ratings", Insert | Update),
            entries.keep_entry("entry_without_rating", Delete, app="OLD.app_id"),
        ]

    def __str__(self) -> str:
        return f"{self.stars} stars for {self.app_id}"


class RatingReport(models.Model):
    """That somebody finds a rating improper; operators decide."""

    rating = models.ForeignKey("catalog.Rating", models.CASCADE, related_name="reports")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rating", "person"], name="rating_report_once"),
            models.CheckConstraint(condition=~Q(reason=""), name="rating_report_has_reason"),
        ]

    def __str__(self) -> str:
        return self.reason
