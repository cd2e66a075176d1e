"""How calls of an app are saved, and the answers that are kept for it."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions

SHORTEST_TTL_S, LONGEST_TTL_S = 300, 1_800


class CallSaving(models.Model):
    """What an app's owner has agreed to so that fewer calls are paid for. Without a row, nothing is saved.

    ``generation`` is part of every key of the cache: raising it forgets all answers at once, in every process.
    Answers to *similar* questions are given only once they were measured on the app's own traffic: ``similar`` says how
    far that has come, ``similar_since`` from when on what was measured counts.
    """

    class Similar(models.TextChoices):
        OFF = "off"
        MEASURING = "measuring"
        SERVING = "serving"
        STOPPED = "stopped"

    TRANSITIONS: ClassVar[Transitions] = {
        "off": frozenset({"measuring"}),
        "measuring": frozenset({"off", "serving", "stopped"}),
        "serving": frozenset({"off", "measuring", "stopped"}),
        "stopped": frozenset({"off", "measuring"}),
    }

    app = models.OneToOneField("catalog.App", models.CASCADE, related_name="call_saving")
    ttl_s = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How long an answer is kept, in seconds; null: none is."
    )
    any_temperature = models.BooleanField(
        default=False, help_text="Keep answers whatever the temperature, not only those at 0."
    )
    generation = models.PositiveIntegerField(default=1)
    similar = models.CharField(max_length=10, choices=Similar, default=Similar.OFF)
    similar_permille = models.PositiveSmallIntegerField(
        default=950, help_text="How alike two questions must be, of 1,000."
    )
    similar_since = models.DateTimeField(null=True, blank=True)
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
            models.CheckConstraint(
                condition=Q(similar="off") | Q(ttl_s__isnull=False, similar_since__isnull=False),
                name="call_saving_similar_needs_kept_answers",
            ),
            models.CheckConstraint(
                condition=Q(similar_permille__gte=800, similar_permille__lte=1_000),
                name="call_saving_similar_is_near",
            ),
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_call_saving")]

    def __str__(self) -> str:
        return f"saving of {self.app}"

    @property
    def similar_threshold(self) -> Decimal:
        """How alike two questions must be, from 0 to 1."""
        return Decimal(self.similar_permille).scaleb(-3)


class CachedAnswer(models.Model):
    """An answer that was paid for and may be given again until it expires. Losing one only costs a call.

    ``key`` is made from everything that the answer depends on (``marketplace.gateway.caching.keys``).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.BinaryField(max_length=32)
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    sealed = models.TextField(help_text="The answer, see marketplace.gateway.sealing.")
    neighborhood = models.BinaryField(
        max_length=32,
        null=True,
        help_text="The key of everything but the question; null: not to be compared.",
    )
    embedding = ArrayField(models.FloatField(), null=True, help_text="Of the question.")
    kept_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], name="cached_answer_once"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("kept_at")), name="cached_answer_expires"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="cached_answer_by_end"),
            models.Index(
                fields=["neighborhood"],
                name="cached_answer_neighbors",
                condition=Q(neighborhood__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"an answer of {self.app}"


class SimilarTrial(models.Model):
    """An answer that might have been given to a similar question, beside the one that was bought all the same."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")
    event_id = models.CharField(max_length=128, help_text="Of the call that was bought.")
    at = models.DateTimeField()
    similar_permille = models.PositiveSmallIntegerField(help_text="How alike the questions are, of 1,000.")
    was_wrong = models.BooleanField(help_text="The two answers differ.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["app", "event_id"], name="similar_trial_once")]
        indexes = [models.Index(fields=["app", "-at"], name="similar_trial_latest")]

    def __str__(self) -> str:
        return f"trial {self.event_id}"
