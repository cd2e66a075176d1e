"""How calls of an app are saved, and the answers that are kept for it."""

from django.db import models
from django.db.models import Q

from marketplace.core import epochs
from marketplace.core.ids import uuid7

SHORTEST_TTL_S, LONGEST_TTL_S = 300, 1_800


class CallSaving(models.Model):
    """What an app's owner has agreed to so that fewer calls are paid for. Without a row, nothing is saved.

    ``generation`` is part of every key of the cache: raising it forgets all answers at once, in every process.
    """

    app = models.OneToOneField("catalog.App", models.CASCADE, related_name="call_saving")
    ttl_s = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How long an answer is kept, in seconds; null: none is."
    )
    any_temperature = models.BooleanField(
        default=False, help_text="Keep answers whatever the temperature, not only those at 0."
    )
    generation = models.PositiveIntegerField(default=1)
    is_batchable = models.BooleanField(
        default=False, help_text="Several inputs may be packed into one call of the model."
    )
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ttl_s=None) | Q(ttl_s__gte=SHORTEST_TTL_S, ttl_s__lte=LONGEST_TTL_S),
                name="call_saving_keeps_for_5_to_30_minutes",
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_call_saving")]

    def __str__(self) -> str:
        return f"saving of {self.app}"


class CachedAnswer(models.Model):
    """An answer that was paid for and may be given again until it expires. Losing one only costs a call.

    ``key`` is made from everything that the answer depends on (``marketplace.gateway.caching.keys``).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.BinaryField(max_length=32)
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    sealed = models.TextField(help_text="The answer, see marketplace.gateway.sealing.")
    kept_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], name="cached_answer_once"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("kept_at")), name="cached_answer_expires"
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="cached_answer_by_end")]

    def __str__(self) -> str:
        return f"an answer of {self.app}"
