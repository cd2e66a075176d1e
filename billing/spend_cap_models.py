"""What a subscription may cost a month by its own team's choice."""

from django.db import models
from django.db.models import Q


class SpendCap(models.Model):
    """An amount at price, fees among it, that limits of calls and cost keep a subscription within."""

    class Mode(models.TextChoices):
        HARD = "hard", "Refuse calls beyond it"
        WARN = "warn", "Let calls through, and tell us"

    subscription = models.OneToOneField(
        "catalog.Subscription", models.PROTECT, primary_key=True, related_name="spend_cap"
    )
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    mode = models.CharField(max_length=4, choices=Mode, default=Mode.HARD)
    plan = models.ForeignKey(
        "catalog.Plan",
        models.PROTECT,
        related_name="+",
        help_text="Whose prices its limits were worked out with.",
    )
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gt=0), name="spend_cap_above_zero")]

    def __str__(self) -> str:
        return f"{self.subscription}: at most {self.amount_minor} {self.currency}"
