"""The test bench: a maker's examples, run over several models before anybody reviews anything."""

from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7


class BenchRun(models.Model):
    """One round of a version's examples over some models, on the sandbox credit of its team."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey("catalog.Version", models.CASCADE, related_name="bench_runs")
    model_names = models.JSONField(
        help_text="Names of models; one empty name for an app that runs elsewhere."
    )
    cases = models.JSONField(help_text="Inputs with what is expected of their answers, as they were.")
    most_cost = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        help_text="What it may cost at most, as it was shown before it began.",
    )
    currency = models.CharField(max_length=3)
    stopped_because = models.TextField(blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version"], condition=Q(ended_at__isnull=True), name="bench_run_one_active"
            ),
        ]

    def __str__(self) -> str:
        return f"Bench of {self.version}"


class BenchResult(models.Model):
    """What one model answered to one case. ``missed`` lists what was expected and not kept; None: not judged."""

    run = models.ForeignKey("catalog.BenchRun", models.CASCADE, related_name="results")
    model = models.CharField(max_length=80, blank=True)
    case = models.PositiveSmallIntegerField(help_text="Place in the cases of the run.")
    output = models.TextField(blank=True)
    failure = models.TextField(blank=True)
    missed = models.JSONField(null=True, blank=True)
    cost = models.DecimalField(max_digits=38, decimal_places=18, default=0)
    latency_ms = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "model", "case"], name="bench_result_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model}, case {self.case}"
