"""What makers declared of their apps against what a month really was."""

from django.db import models
from django.db.models import Q
from pgtrigger import Protect, Update


class DeclaredMonth(models.Model):
    """A full month of a listed app in production: calls and cost of a call, declared and counted. Written once."""

    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="declared_months")
    version = models.ForeignKey("catalog.Version", models.PROTECT, related_name="+")
    month = models.DateField(help_text="Its first day.")
    declared_calls = models.PositiveIntegerField()
    calls = models.PositiveBigIntegerField()
    declared_cost = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        null=True,
        help_text="Per call; what was declared when it was listed.",
    )
    cost = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, help_text="Per call; none without calls."
    )
    currency = models.CharField(max_length=3)
    noted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "month"], name="declared_month_once"),
            models.CheckConstraint(condition=Q(month__day=1), name="declared_month_is_a_month"),
            models.CheckConstraint(
                condition=Q(calls__gt=0) | Q(cost__isnull=True), name="declared_month_cost_needs_calls"
            ),
        ]
        triggers = [Protect(name="declared_month_stays", operation=Update)]

    def __str__(self) -> str:
        return f"{self.app} in {self.month:%Y-%m}"
