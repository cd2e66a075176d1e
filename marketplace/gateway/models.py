"""Where model calls go, and what callers sent twice."""

from django.db import models

from marketplace.core import epochs
from marketplace.core.ids import uuid7
from marketplace.gateway import routing_models as routing_models  # registers its tables
from marketplace.gateway import saving_models as saving_models  # registers its tables
from marketplace.gateway.async_models import AsyncRun as AsyncRun
from marketplace.gateway.batch_models import Batch as Batch
from marketplace.gateway.batch_models import BatchLine as BatchLine
from marketplace.gateway.batch_models import CheapHours as CheapHours
from marketplace.gateway.batch_models import FileChunk as FileChunk
from marketplace.gateway.batch_models import StoredFile as StoredFile
from marketplace.gateway.calling_models import AppCalling as AppCalling
from marketplace.gateway.health_models import SourceHealth as SourceHealth
from marketplace.gateway.pool_models import Pool as Pool
from marketplace.gateway.pool_models import PoolEvent as PoolEvent
from marketplace.gateway.pool_models import PoolHour as PoolHour
from marketplace.gateway.pool_models import PoolReplica as PoolReplica
from marketplace.gateway.retrieval_models import DocumentIndex as DocumentIndex
from marketplace.gateway.retrieval_models import Passage as Passage
from marketplace.gateway.retrieval_models import RetrievalDay as RetrievalDay
from marketplace.gateway.saving_report_models import SavingReport as SavingReport


class Provider(models.Model):
    """A server that answers calls of models, and the protocol it speaks.

    Its key is sealed here, or comes from the environment variable named here.
    """

    class Kind(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        ANTHROPIC = "anthropic", "Anthropic Messages"
        GEMINI = "gemini", "Gemini generateContent"

    name = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.OPENAI)
    base_url = models.CharField(max_length=200)
    api_key_variable = models.CharField(max_length=60, blank=True)
    api_key_sealed = models.TextField(
        blank=True, editable=False, help_text="See marketplace.gateway.sealing; comes before the variable."
    )
    key_set_at = models.DateTimeField(null=True, editable=False)
    timeout_s = models.PositiveSmallIntegerField(default=120, help_text="For a whole answer.")
    connect_timeout_s = models.PositiveSmallIntegerField(default=5)
    first_byte_timeout_s = models.PositiveSmallIntegerField(
        default=60, help_text="For the first piece of a stream."
    )
    idle_timeout_s = models.PositiveSmallIntegerField(default=30, help_text="Between two pieces of a stream.")
    health_reset_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Each process forgets failures once it learns of a new time here.",
    )
    is_active = models.BooleanField(default=True)
    is_demo = models.BooleanField(default=False, help_text="Answers are made up by the demo provider.")

    class Meta:
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_providers")]

    def __str__(self) -> str:
        return self.title


class ProviderModel(models.Model):
    """A model of the catalogue as one provider offers it."""

    provider = models.ForeignKey("gateway.Provider", models.CASCADE, related_name="offers")
    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, related_name="offers")
    upstream_name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="provider_model_unique")]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_provider_models")]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"


class IdempotentCall(models.Model):
    """The answer to a call sent with an Idempotency-Key; the second call gets it again and costs nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscription = models.ForeignKey("catalog.Subscription", models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    body_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    answer = models.BinaryField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subscription", "key"], name="idempotent_call_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotent_call_by_time")]

    def __str__(self) -> str:
        return self.key
