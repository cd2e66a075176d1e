"""Listings that operators put together."""

from django.db import models
from django.db.models import Deferrable, Q


class Collection(models.Model):
    """An ordered choice of listings with a title, such as "For a first week"."""

    slug = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=80)
    summary = models.CharField(max_length=200, blank=True)
    is_shown = models.BooleanField(default=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(title=""), name="collection_has_title")]

    def __str__(self) -> str:
        return self.title


class CollectionItem(models.Model):
    """A listing in a collection: its place, and why it is there."""

    collection = models.ForeignKey("catalog.Collection", models.CASCADE, related_name="items")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["collection", "app"], name="collection_item_once"),
            models.UniqueConstraint(
                fields=["collection", "position"],
                name="collection_item_one_place",
                deferrable=Deferrable.DEFERRED,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.app_id}"
