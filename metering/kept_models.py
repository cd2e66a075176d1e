"""Questions about usage that somebody keeps, and reports that are mailed."""

from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7


class SavedView(models.Model):
    """A question to usage with a name, to get back to. What it shows is what whoever opens it may see."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    created_by = models.ForeignKey("accounts.User", models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=80)
    query = models.CharField(
        max_length=1000, blank=True, help_text="What follows the question mark of /usage/."
    )
    is_shared = models.BooleanField(default=False, help_text="Shown to everybody of the organization.")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["created_by", "name"], name="saved_view_name_unique"),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_has_name"),
        ]

    def __str__(self) -> str:
        return self.name


class ReportSchedule(models.Model):
    """A question to usage that is mailed to a person every week or month, about the week or month before."""

    class Cadence(models.TextChoices):
        WEEKLY = "weekly", "Weekly, on Monday"
        MONTHLY = "monthly", "Monthly, on the 1st"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="report_schedules")
    name = models.CharField(max_length=80)
    query = models.CharField(
        max_length=1000, blank=True, help_text="As of a saved view; its days do not count."
    )
    cadence = models.CharField(max_length=10, choices=Cadence)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    sent_for = models.DateField(help_text="The Monday or 1st it was last sent for; at first the one before.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person", "cadence", "query"],
                condition=Q(ended_at=None),
                name="report_schedule_once",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="report_schedule_has_name"),
            models.CheckConstraint(
                condition=~Q(cadence="monthly") | Q(sent_for__day=1), name="report_schedule_on_the_first"
            ),
        ]

    def __str__(self) -> str:
        return self.name
