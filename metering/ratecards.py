"""The price book: every dated price, as an immutable snapshot that rating reads without a query."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from marketplace.core.errors import InvalidInput
from marketplace.core.snapshots import Snapshot
from metering.models import InstanceRate, LanguageModel, RateCard
from metering.rating import InstancePrice, TokenPrices, to_atto

P = TypeVar("P", TokenPrices, InstancePrice)


class UnknownPrice(InvalidInput):
    """Nothing in the price book says what this costs; usage without a price is refused, never free."""

    code = "unknown_price"

    def __init__(self, *, field: str, name: str) -> None:
        self.name = name
        super().__init__(field, f"There is no price for {name!r} at that time.")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model of the catalogue with its rate cards in order of time."""

    id: int
    name: str
    model_class: str
    context_tokens: int
    is_active: bool
    cards: tuple[TokenPrices, ...]


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All models and prices at one epoch."""

    models: dict[str, ModelFacts]
    instances: dict[str, tuple[InstancePrice, ...]]

    def model(self, name: str, *, field: str = "model") -> ModelFacts:
        """Return a model of the catalogue; raises UnknownPrice."""
        facts = self.models.get(name)
        if facts is None:
            raise UnknownPrice(field=field, name=name)
        return facts

    def token_prices(self, name: str, at: datetime, *, field: str = "model") -> TokenPrices:
        """Return the rate card of a model in force at a time; raises UnknownPrice."""
        return _in_force(self.model(name, field=field).cards, at, field=field, name=name)

    def instance_price(self, instance_type: str, at: datetime) -> InstancePrice:
        """Return the rate of an instance type in force at a time; raises UnknownPrice."""
        return _in_force(self.instances.get(instance_type, ()), at, field="instance_type", name=instance_type)


def _in_force(prices: tuple[P, ...], at: datetime, *, field: str, name: str) -> P:
    index = bisect_right(prices, at, key=lambda price: price.starts_at) - 1
    if index < 0:
        raise UnknownPrice(field=field, name=name)
    price = prices[index]
    if price.ends_at is not None and price.ends_at <= at:
        raise UnknownPrice(field=field, name=name)
    return price


def load_price_book() -> PriceBook:
    """Read every model and price (three queries)."""
    cards: dict[int, list[TokenPrices]] = defaultdict(list)
    for card in RateCard.objects.order_by("starts_at"):
        cards[card.model_id].append(
            TokenPrices(
                id=card.pk,
                currency=card.currency,
                input=to_atto(card.input_per_mtok),
                cached_input=to_atto(card.cached_input_per_mtok),
                cache_write=to_atto(card.cache_write_per_mtok),
                output=to_atto(card.output_per_mtok),
                reasoning=to_atto(card.reasoning_per_mtok),
                starts_at=card.starts_at,
                ends_at=card.ends_at,
            )
        )
    models = {
        m.name: ModelFacts(m.pk, m.name, m.model_class, m.context_tokens, m.is_active, tuple(cards[m.pk]))
        for m in LanguageModel.objects.all()
    }
    instances: dict[str, list[InstancePrice]] = defaultdict(list)
    for rate in InstanceRate.objects.order_by("starts_at"):
        instances[rate.instance_type].append(
            InstancePrice(rate.pk, rate.currency, to_atto(rate.price_per_hour), rate.starts_at, rate.ends_at)
        )
    return PriceBook(models, {name: tuple(rates) for name, rates in instances.items()})


price_book: Snapshot[PriceBook] = Snapshot("directory", load_price_book)


def change_price(card: RateCard, *, starts_at: datetime) -> RateCard:
    """Put a new rate card in force from a date and end the one before it there; history keeps its prices.

    ``card`` is unsaved and names its model and prices. Raises InvalidInput when a later price exists already.
    """
    if RateCard.objects.filter(model=card.model, starts_at__gte=starts_at).exists():
        raise InvalidInput("starts_at", "There is a price that starts on or after this date.")
    with transaction.atomic():
        RateCard.objects.filter(model=card.model, ends_at=None).update(ends_at=starts_at)
        card.starts_at = starts_at
        card.save(force_insert=True)
    return card
