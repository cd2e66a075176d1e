"""Names of the language models an app may ask for.

The model catalogue and its prices belong to metering, which lies above this package: it is read by its label, the way
foreign keys name it, and only for what a creator chooses from.
"""

from dataclasses import dataclass

from django.apps import apps
from django.db.models import F, Max, Q


@dataclass(frozen=True)
class ModelChoice:
    """A model as a creator sees it."""

    name: str
    title: str
    size: str


def choosable() -> list[ModelChoice]:
    """Return the active models that write text, cheapest output first; one without a price comes last."""
    language_models = apps.get_model("metering", "LanguageModel")
    price = Max("rate_cards__output_per_mtok", filter=Q(rate_cards__ends_at=None))
    rows = (
        language_models._default_manager.filter(is_active=True)
        .exclude(model_class="embedding")
        .annotate(price=price)
        .order_by(F("price").asc(nulls_last=True), "name")
    )
    return [ModelChoice(row.name, row.title, row.model_class) for row in rows]
