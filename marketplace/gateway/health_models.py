"""How the sources of answers stand, as each process that calls them last said."""

from django.db import models

from marketplace.core.ids import uuid7


class SourceHealth(models.Model):
    """A model at a provider as one process knows it. Written every few seconds while calls are made; only people and
    monitoring read it, no call does."""

    class State(models.TextChoices):
        CLOSED = "closed", "Called"
        OPEN = "open", "Resting"
        HALF_OPEN = "half_open", "Being tried"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    offer = models.ForeignKey("gateway.ProviderModel", models.CASCADE, related_name="health")
    process = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State.choices)
    retry_at = models.DateTimeField(null=True, help_text="When it is called again, if it is left alone now.")
    calls = models.PositiveIntegerField(help_text="Of the quarter of an hour before reported_at.")
    failures = models.PositiveIntegerField(help_text="Of the same time.")
    calls_total = models.PositiveBigIntegerField(help_text="Since the process began.")
    failures_total = models.PositiveBigIntegerField(help_text="Since the process began.")
    latencies = models.JSONField(
        default=dict,
        help_text="Answers by bucket of metering.latencies: until the answer, of a stream its first piece.",
    )
    last_error = models.CharField(max_length=300, blank=True)
    last_error_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["offer", "process"], name="source_health_once_a_process"),
            models.CheckConstraint(
                condition=models.Q(failures__lte=models.F("calls")), name="source_health_failures_are_calls"
            ),
        ]
        indexes = [models.Index(fields=["reported_at"], name="source_health_by_time")]

    def __str__(self) -> str:
        return f"{self.offer} in {self.process}"
