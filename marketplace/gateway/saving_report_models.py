"""Saving reports that were asked for, with what they found."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7


class SavingReport(models.Model):
    """What the levers would have saved of an app's usage: asked for once, worked out in the background, kept.

    ``app`` is empty for a trace that an operator replayed and kept. ``found`` is the report as its API answers it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, null=True, blank=True, related_name="+")
    title = models.CharField(max_length=200)
    asked = models.JSONField(default=dict, help_text="What was chosen: times, hosting and shares.")
    found = models.JSONField(null=True, blank=True)
    job = models.ForeignKey("core.Job", models.SET_NULL, null=True, blank=True, related_name="+")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True)
    asked_at = models.DateTimeField()
    found_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(found__isnull=True, found_at__isnull=True)
                | Q(found__isnull=False, found_at__isnull=False),
                name="saving_report_found_says_when",
            ),
        ]
        indexes = [models.Index(fields=["app", "-asked_at"], name="saving_report_by_app")]

    def __str__(self) -> str:
        return self.title
