"""The price book: every dated price, as an immutable snapshot that rating reads without a query."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import F, QuerySet

from marketplace.core.errors import InvalidInput
from marketplace.core.snapshots import Snapshot
from metering.models import InstanceRate, LanguageModel, RateCard
from metering.rating import InstancePrice, Quantities, Rated, TokenPrices, rate, to_atto

P = TypeVar("P", TokenPrices, InstancePrice)
MOST_TARIFFS = 10_000


class UnknownPrice(InvalidInput):
    """Nothing in the price book says what this costs; usage without a price is refused, never free."""

    code = "unknown_price"

    def __init__(self, *, field: str, name: str) -> None:
        self.name = name
        super().__init__(field, f"There is no price for {name!r} at that time.")


class LaterPrice(InvalidInput):
    """Prices are only added at the end: before one that exists there is no room for another."""

    code = "later_price"

    def __init__(self, starts_at: datetime) -> None:
        self.starts_at = starts_at
        super().__init__(
            "starts_at", f"There is a price for times from {starts_at:%Y-%m-%d %H:%M} UTC on already."
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model of the catalogue with its rate cards in order of time."""

    id: int
    name: str
    model_class: str
    context_tokens: int
    is_active: bool
    cards: tuple[TokenPrices, ...]
    batch_cards: tuple[TokenPrices, ...] = ()

    def price_at(self, at: datetime, *, is_batch: bool = False) -> TokenPrices | None:
        """Return its rate card in force at a time; of a batch the list price where no batch rate is in force."""
        return (_find(self.batch_cards, at) if is_batch else None) or _find(self.cards, at)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All models and prices at one epoch."""

    models: dict[str, ModelFacts]
    instances: dict[str, tuple[InstancePrice, ...]]
    ceiling: ModelFacts | None = None
    _tariffs: "dict[tuple[str, str, bool], Tariff]" = field(default_factory=dict, compare=False, repr=False)

    def tariff(self, model: str, instance_type: str, *, is_batch: bool = False) -> "Tariff":
        """Return what rates usage of a model and an instance type, either of which may be empty. Raises UnknownPrice."""
        found = self._tariffs.get((model, instance_type, is_batch))
        if found is None:
            if len(self._tariffs) >= MOST_TARIFFS:
                self._tariffs.clear()  # names of unknown models are without end
            found = self._tariffs[model, instance_type, is_batch] = Tariff(
                self, model=model, instance_type=instance_type, is_batch=is_batch
            )
        return found

    def model(self, name: str, *, field: str = "model") -> ModelFacts:
        """Return a model of the catalogue; raises UnknownPrice."""
        facts = self.models.get(name)
        if facts is None:
            raise UnknownPrice(field=field, name=name)
        return facts

    def token_prices(
        self, name: str, at: datetime, *, field: str = "model", is_batch: bool = False
    ) -> TokenPrices:
        """Return the rate card of a model in force at a time; raises UnknownPrice."""
        price = self.model(name, field=field).price_at(at, is_batch=is_batch)
        if price is None:
            raise UnknownPrice(field=field, name=name)
        return price

    def instance_price(self, instance_type: str, at: datetime) -> InstancePrice:
        """Return the rate of an instance type in force at a time; raises UnknownPrice."""
        return _in_force(self.instances.get(instance_type, ()), at, field="instance_type", name=instance_type)

    def rated_as(self, name: str) -> ModelFacts:
        """Return the model that usage of this name is rated and counted as: itself, else the ceiling's stand-in.

        Raises UnknownPrice when the name is not in the catalogue and there never was a ceiling price.
        """
        facts = self.models.get(name) or self.ceiling
        if facts is None:
            raise UnknownPrice(field="model", name=name)
        return facts

    def class_of(self, name: str) -> str:
        """Return the class of the model that usage of this name counts as; empty for usage of no model."""
        facts = (self.models.get(name) or self.ceiling) if name else None
        return facts.model_class if facts else ""

    def ceiling_price(self, at: datetime, *, name: str) -> TokenPrices:
        """Return what rates usage that has happened without a price of its own. Raises UnknownPrice.

        Only for usage: a call that is still to be sent needs a price of its own (``token_prices``).
        """
        return _in_force(self.ceiling.cards if self.ceiling else (), at, field="model", name=name)


class Tariff:
    """What rates the usage of one model and instance type: remembers the prices in force where it last looked.

    A batch has few models and its events lie close together in time, so most of them are rated without a search.
    ``model_asked`` is the name that usage told when it is counted as an unknown model, at the ceiling price.
    """

    __slots__ = (
        "_book",
        "_facts",
        "_instance",
        "_instance_type",
        "_is_batch",
        "_model",
        "_prices",
        "model_asked",
        "model_id",
    )

    def __init__(self, book: PriceBook, *, model: str, instance_type: str, is_batch: bool) -> None:
        self._book = book
        self._is_batch = is_batch
        self._model = model
        self._instance_type = instance_type
        self._prices: TokenPrices | None = None
        self._instance: InstancePrice | None = None
        self._facts = book.rated_as(model) if model else None
        self.model_id = self._facts.id if self._facts else None
        self.model_asked = model if self._facts is not None and self._facts is book.ceiling else ""

    def find(self, at: datetime) -> tuple[TokenPrices | None, InstancePrice | None]:
        """Return the prices in force at a time. Raises UnknownPrice."""
        prices = instance = None
        if self._facts:
            prices = self._prices
            if prices is None or not prices.is_in_force(at):
                prices = self._facts.price_at(at, is_batch=self._is_batch)
                if prices is None:
                    # Not remembered: it is in force also where the model has a price of its own.
                    prices = self._book.ceiling_price(at, name=self._model)
                elif not self._is_batch or prices in self._facts.batch_cards:
                    # A list price is in force also where a batch rate is.
                    self._prices = prices
        if self._instance_type:
            instance = self._instance
            if instance is None or not instance.is_in_force(at):
                instance = self._instance = self._book.instance_price(self._instance_type, at)
        return prices, instance

    def rate(self, quantities: Quantities, at: datetime) -> tuple[Rated, str]:
        """Rate one event with the prices in force when it occurred: its cost and currency. Raises UnknownPrice."""
        prices, instance = self.find(at)
        return rate(quantities, prices, instance), currency_of(prices, instance)


def currency_of(prices: TokenPrices | None, instance: InstancePrice | None) -> str:
    """Return the currency that usage is rated in."""
    return prices.currency if prices else instance.currency if instance else "USD"


def _find(prices: tuple[P, ...], at: datetime) -> P | None:
    index = bisect_right(prices, at, key=lambda price: price.starts_at) - 1
    if index < 0:
        return None
    price = prices[index]
    return None if price.ends_at is not None and price.ends_at <= at else price


def _in_force(prices: tuple[P, ...], at: datetime, *, field: str, name: str) -> P:
    price = _find(prices, at)
    if price is None:
        raise UnknownPrice(field=field, name=name)
    return price


def token_prices(card: RateCard) -> TokenPrices:
    """Turn a rate card into what rating reads."""
    return TokenPrices(
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


def instance_price(rate: InstanceRate) -> InstancePrice:
    """Turn a rate of an instance type into what rating reads."""
    return InstancePrice(rate.pk, rate.currency, to_atto(rate.price_per_hour), rate.starts_at, rate.ends_at)


def load_price_book() -> PriceBook:
    """Read every model and price (three queries). Prices that were replaced before they began are not among them."""
    cards: dict[tuple[int, bool], list[TokenPrices]] = defaultdict(list)
    for card in RateCard.every.exclude(ends_at=F("starts_at")).order_by("starts_at"):
        cards[card.model_id, card.batch_rate_id is not None].append(token_prices(card))
    models, ceiling = {}, None
    for model in LanguageModel.objects.all():
        facts = ModelFacts(
            model.pk,
            model.name,
            model.model_class,
            model.context_tokens,
            model.is_active,
            tuple(cards[model.pk, False]),
            tuple(cards[model.pk, True]),
        )
        if model.is_ceiling:
            ceiling = facts
        else:
            models[model.name] = facts
    instances: dict[str, list[InstancePrice]] = defaultdict(list)
    for row in InstanceRate.objects.exclude(ends_at=F("starts_at")).order_by("starts_at"):
        instances[row.instance_type].append(instance_price(row))
    return PriceBook(models, {name: tuple(rates) for name, rates in instances.items()}, ceiling)


price_book: Snapshot[PriceBook] = Snapshot("directory", load_price_book)


def change_price(card: RateCard, *, starts_at: datetime) -> RateCard:
    """Put a new rate card in force from a date and end the one before it there; history keeps its prices.

    ``card`` is unsaved and names its model and prices. One that was to begin on that very date and was never used gives
    way. Raises InvalidInput when another later price exists already.
    """
    with transaction.atomic():
        _make_way(RateCard.objects.filter(model=card.model), starts_at)
        card.starts_at = starts_at
        card.save(force_insert=True)
    return card


def change_instance_rate(rate: InstanceRate, *, starts_at: datetime) -> InstanceRate:
    """Put a new rate of an instance type in force, as ``change_price`` does for a model."""
    with transaction.atomic():
        _make_way(InstanceRate.objects.filter(instance_type=rate.instance_type), starts_at)
        rate.starts_at = starts_at
        rate.save(force_insert=True)
    return rate


def _make_way(prices: QuerySet[RateCard] | QuerySet[InstanceRate], starts_at: datetime) -> None:
    """End what is in force at a date there; a price that would begin right then ends before it began."""
    latest = prices.filter(ends_at=None).first()
    if latest is not None and latest.starts_at > starts_at:
        raise LaterPrice(latest.starts_at)
    # Without an open price, the constraint that one is in force at a time would refuse; say it in words.
    if prices.exclude(ends_at=None).filter(ends_at__gt=starts_at).exclude(ends_at=F("starts_at")).exists():
        raise LaterPrice(starts_at)
    prices.filter(ends_at=None).update(ends_at=starts_at)
