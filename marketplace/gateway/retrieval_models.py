"""Documents as passages with vectors, and what finding them saved."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class Real(models.FloatField):
    """A number of four bytes: a vector of them fits into its row."""

    def db_type(self, connection: object) -> str:
        return "real"


class DocumentIndex(models.Model):
    """The passages of one document by one embedding model and one set of rules for cutting."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"

    TRANSITIONS: ClassVar[Transitions] = {
        "queued": frozenset({"running", "failed"}),
        # Again running: a worker takes over from one that died.
        "running": frozenset({"running", "ready", "failed"}),
        "ready": frozenset(),
        "failed": frozenset({"queued"}),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    document = models.ForeignKey("catalog.AppDocument", models.CASCADE, related_name="indexes")
    embedding_model = models.CharField(max_length=80)
    rules = models.PositiveSmallIntegerField(help_text="See marketplace.gateway.retrieval.chunking.RULES.")
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    passages_done = models.PositiveIntegerField(default=0)
    passages_total = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0, help_text="Of the whole document.")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["document", "embedding_model", "rules"], name="document_index_once"
            ),
            models.CheckConstraint(
                condition=~Q(state="ready") | Q(passages_total__gt=0, passages_done=F("passages_total")),
                name="document_index_ready_is_whole",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(error=""), name="document_index_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"index of {self.document} by {self.embedding_model}"


class Passage(models.Model):
    """A piece of a document, and its vector."""

    index = models.ForeignKey("gateway.DocumentIndex", models.CASCADE, related_name="passages")
    number = models.PositiveIntegerField()
    heading = models.CharField(max_length=200, blank=True)
    text = models.TextField()
    tokens = models.PositiveIntegerField()
    embedding = ArrayField(Real())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["index", "number"], name="passage_number_once")]

    def __str__(self) -> str:
        return f"passage {self.number} of {self.index}"


class RetrievalDay(models.Model):
    """What passages saved an app on one day, UTC. A convenience: each event's tags say it of its call."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="retrieval_days")
    day = models.DateField()
    calls = models.PositiveIntegerField(default=0)
    tokens_sent = models.PositiveBigIntegerField(default=0)
    tokens_saved = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["app", "day"], name="retrieval_day_once")]

    def __str__(self) -> str:
        return f"{self.app} on {self.day}"
