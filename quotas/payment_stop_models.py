"""That an organization's calls are stopped until it has paid."""

from django.db import models
from django.db.models import F, Q
from pgtrigger import Delete, Insert, Protect, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7


class PaymentStop(models.Model):
    """Calls of all subscriptions of an organization are refused, from a time until one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="payment_stops")
    text = models.CharField(max_length=400, help_text="What callers read: why, and what to do.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+", help_text="Null: by itself."
    )
    why_ended = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(ended_at=None), name="payment_stop_one_open"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("started_at")),
                name="payment_stop_ends_after_start",
            ),
        ]
        triggers = [
            Protect(name="payment_stops_stay", operation=Delete),
            # The gateway remembers callers: they are looked up again when calls stop or go on.
            epochs.raise_epoch(
                epochs.DIRECTORY, name="epoch_of_payment_stops", operation=Insert | UpdateOf("ended_at")
            ),
        ]

    def __str__(self) -> str:
        return f"payment stop of {self.organization}"
