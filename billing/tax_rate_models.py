"""Tax rates by country and category, proposed by one person of finance and approved by another; apps taxed otherwise."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7
from marketplace.core.proposing import Proposal, four_eyes
from marketplace.core.transitions import Transitions


class TaxCategory(models.TextChoices):
    STANDARD = "standard", "Standard"
    REDUCED = "reduced", "Reduced"
    ZERO = "zero", "Zero"


class TaxRate(Proposal):
    """What a country takes of a category from a moment, until the next approved rate begins."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    TRANSITIONS: ClassVar[Transitions] = {
        "proposed": frozenset({"approved", "rejected", "withdrawn"}),
        "approved": frozenset(),
        "rejected": frozenset(),
        "withdrawn": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    country = models.CharField(max_length=2)
    category = models.CharField(max_length=8, choices=TaxCategory)
    percent = models.DecimalField(max_digits=7, decimal_places=4)
    starts_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["country", "category", "starts_at"],
                condition=Q(state="approved"),
                name="tax_rate_one_from_a_moment",
            ),
            models.UniqueConstraint(
                fields=["country", "category"], condition=Q(state="proposed"), name="tax_rate_one_open"
            ),
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=100), name="tax_rate_is_percent"),
            models.CheckConstraint(
                condition=~Q(category="zero") | Q(percent=0), name="tax_rate_zero_is_zero"
            ),
            *four_eyes("tax_rate", decided=["approved", "rejected"]),
        ]
        triggers = [Protect(name="tax_rate_stays", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.country} {self.category} {self.percent.normalize():f} %"


class AppTaxCategory(models.Model):
    """That an app is taxed otherwise than at the standard rate, as electronic books are in many countries."""

    app = models.OneToOneField("catalog.App", models.PROTECT, related_name="tax_category")
    category = models.CharField(max_length=8, choices=TaxCategory)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.app}: {self.category}"
