"""What people note on things that wait for a decision: who takes them, who looks at them, who wants them later."""

from typing import Any

from django.db import models
from django.db.models import Q

ITEM_KINDS = ("increase", "review")


def _one_item() -> Q:
    """Exactly one of the item columns is set."""
    one = Q()
    for item in ITEM_KINDS:
        one |= Q(**{f"{kind}__isnull": kind != item for kind in ITEM_KINDS})
    return one


class DeskMark(models.Model):
    """Who has taken, or was given, a request that waits. Without a row, nobody has. Reviews are claimed in the catalogue."""

    increase = models.OneToOneField("quotas.IncreaseRequest", models.CASCADE, related_name="mark")
    assignee = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    assigned_by = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    assigned_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.assignee} has {self.increase}"


class DeskGlance(models.Model):
    """When somebody last had something that waits on their screen, and until when they do not want to see it."""

    increase = models.ForeignKey("quotas.IncreaseRequest", models.CASCADE, null=True, related_name="glances")
    review = models.ForeignKey("catalog.Review", models.CASCADE, null=True, related_name="+")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    seen_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_one_item(), name="desk_glance_has_one_item"),
            models.UniqueConstraint(
                fields=["person", "increase", "review"], nulls_distinct=False, name="desk_glance_unique"
            ),
        ]
        indexes = [models.Index(fields=["seen_at"], name="desk_glance_by_time")]

    def __str__(self) -> str:
        return f"glance of {self.person}"

    @property
    def item_kind(self) -> str:
        return next(kind for kind in ITEM_KINDS if getattr(self, f"{kind}_id") is not None)

    @property
    def item_id(self) -> Any:
        return getattr(self, f"{self.item_kind}_id")


class SavedDesk(models.Model):
    """A filter of the desk that a person keeps under a name."""

    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="saved_desks")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="saved_desk_unique")]

    def __str__(self) -> str:
        return self.name
