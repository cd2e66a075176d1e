"""What providers have committed to serve: dated, by provider and model."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q

from marketplace.core.ranges import DateTimeRange


class ModelCapacity(models.Model):
    """How many requests and tokens a minute a provider has committed to serve of a model, from a date.

    The provider is named, not pointed to: a contract may name one that is not called yet. Never changed: what replaces it is
    a new row, and this one ends.
    """

    provider = models.CharField(max_length=40)
    model = models.ForeignKey("metering.LanguageModel", models.PROTECT, related_name="capacities")
    requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    note = models.CharField(
        max_length=200, help_text="Where the figure comes from: a contract, a measurement."
    )

    class Meta:
        verbose_name_plural = "model capacities"
        constraints = [
            ExclusionConstraint(
                name="model_capacity_one_in_force",
                expressions=[
                    ("provider", RangeOperators.EQUAL),
                    ("model", RangeOperators.EQUAL),
                    (DateTimeRange(F("starts_at"), F("ends_at")), RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=False) | Q(tokens_per_minute__isnull=False),
                name="model_capacity_says_something",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="model_capacity_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"
