"""What a call of an app usually comes to."""

from django.db import models


class UsualUse(models.Model):
    """Quantiles of the latest calls of an app, with one model or, without ``model``, with any. Learned, never decided on.

    A hard limit of model calls holds the dearest possible cost whatever stands here; see ``quotas.usual``.
    """

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="usual_uses")
    model = models.ForeignKey("metering.LanguageModel", models.CASCADE, null=True, related_name="+")
    calls = models.PositiveIntegerField(help_text="How many calls it was learned from.")
    output_p99 = models.BigIntegerField(help_text="Output tokens that 99 of 100 calls did not exceed.")
    tokens_p50 = models.BigIntegerField()
    tokens_p95 = models.BigIntegerField()
    cost_p50 = models.DecimalField(max_digits=38, decimal_places=18)
    cost_p95 = models.DecimalField(max_digits=38, decimal_places=18)
    learned_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "model"], nulls_distinct=False, name="usual_use_one_of_app_and_model"
            )
        ]

    def __str__(self) -> str:
        return f"usual use of app {self.app_id}"
