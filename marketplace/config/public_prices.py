"""Public prices as genai-prices has them, turned into our dated rate cards. Nothing is fetched: the data is installed.

The library keeps every price as a Decimal of US dollars per million tokens, and so do we; no digit is lost. What it
knows and a rate card cannot say is decided here, and told in the card's source:

- prices by length of the prompt: the base tier, which is that of short ones;
- prices by time of day: the dearest of the day;
- no price for cached input, cache writes or reasoning: that of the class they are a part of;
- no price for output: none for embeddings, which have no output; else that of input.

Batch and service tiers, audio, images and searches are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version

from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

from metering.models import LanguageModel, RateCard
from metering.rating import to_atto

# Long before anything that can still be reported: usage may be up to 35 days old.
IN_FORCE_FROM = datetime(2025, 1, 1, tzinfo=UTC)
AMOUNTS = (
    "input_per_mtok",
    "cached_input_per_mtok",
    "cache_write_per_mtok",
    "output_per_mtok",
    "reasoning_per_mtok",
)
LONGEST_NAME = 80
USUAL_CONTEXT = 128_000
# Dollars per million output tokens up to which a model is of a class, where nobody has said it.
CLASSES = ((Decimal("0.5"), "tiny"), (Decimal("2.5"), "small"), (Decimal("8"), "medium"))


@dataclass(frozen=True)
class PublicPrice:
    """Prices from a time on, in the order of ``AMOUNTS``, with what was decided to make them."""

    starts_at: datetime
    amounts: tuple[Decimal, ...]
    notes: tuple[str, ...]

    @property
    def output(self) -> Decimal:
        return self.amounts[AMOUNTS.index("output_per_mtok")]


def provider_names() -> list[str]:
    """Name the providers of the installed snapshot."""
    return sorted(provider.id for provider in providers)


def models_of(provider: str) -> list[ModelInfo]:
    """Return a provider's models; none for a provider that is not known."""
    return next((found.models for found in providers if found.id == provider), [])


def find_model(provider: str, name: str) -> ModelInfo | None:
    """Find a model in the installed snapshot of public prices."""
    return next((model for model in models_of(provider) if model.id == name), None)


def history(info: ModelInfo) -> list[PublicPrice]:
    """Return a model's prices in order of time, from the first that usage can meet; empty when tokens have none.

    A time at which nothing of ours changes begins no new price.
    """
    found: list[PublicPrice] = []
    for starts_at in _starts(info):
        price = _price_at(info, starts_at)
        if price is not None and (not found or price.amounts != found[-1].amounts):
            found.append(price)
    return found


def class_of(info: ModelInfo, price: PublicPrice) -> str:
    """Guess the class of a model from its name and what its output costs."""
    if _is_embedding(info):
        return LanguageModel.ModelClass.EMBEDDING
    return next((name for most, name in CLASSES if price.output <= most), LanguageModel.ModelClass.LARGE)


def language_model(info: ModelInfo, *, model_class: str) -> LanguageModel:
    """Build the catalogue's entry of a public model, unsaved."""
    return LanguageModel(
        name=info.id,
        title=(info.name or info.id)[:120],
        model_class=model_class,
        context_tokens=info.context_window or USUAL_CONTEXT,
    )


def rate_cards(model: LanguageModel, prices: Sequence[PublicPrice], *, provider: str) -> Iterator[RateCard]:
    """Build the rate cards of a history, unsaved: each ends where the next begins."""
    for index, price in enumerate(prices):
        yield RateCard(
            model=model,
            **dict(zip(AMOUNTS, price.amounts, strict=True)),
            starts_at=price.starts_at,
            ends_at=prices[index + 1].starts_at if index + 1 < len(prices) else None,
            source="; ".join([f"genai-prices {version('genai-prices')}: {provider}", *price.notes])[:200],
        )


def _starts(info: ModelInfo) -> list[datetime]:
    """Return when prices may change: at the beginning, and at every later date that the snapshot names."""
    conditions = [] if isinstance(info.prices, ModelPrice) else [one.constraint for one in info.prices]
    dates = {
        datetime.combine(one.start_date, time(), tzinfo=UTC)
        for one in conditions
        if isinstance(one, StartDateConstraint)
    }
    return sorted({IN_FORCE_FROM, *(at for at in dates if at > IN_FORCE_FROM)})


def _price_at(info: ModelInfo, day: datetime) -> PublicPrice | None:
    """Return the price of a day, the dearest where it changes within the day."""
    found = [
        price
        for hour in _hours(info)
        if (price := _public_price(info, info.get_prices(datetime.combine(day, hour, tzinfo=UTC)), day))
    ]
    if not found:
        return None
    notes = {note: None for one in found for note in one.notes}
    if len({one.amounts for one in found}) > 1:
        notes["dearest time of day"] = None
    dearest = tuple(max(of_class) for of_class in zip(*(one.amounts for one in found), strict=True))
    return PublicPrice(day, dearest, tuple(notes))


def _hours(info: ModelInfo) -> list[time]:
    conditions = [] if isinstance(info.prices, ModelPrice) else [one.constraint for one in info.prices]
    edges = {time()}
    for one in conditions:
        if isinstance(one, TimeOfDateConstraint):
            edges |= {one.start_time.replace(tzinfo=None), one.end_time.replace(tzinfo=None)}
    return sorted(edges)


def _public_price(info: ModelInfo, price: ModelPrice, starts_at: datetime) -> PublicPrice | None:
    notes: dict[str, None] = {}

    def amount(name: str) -> Decimal | None:
        found: Decimal | TieredPrices | None = getattr(price, name, None)
        if isinstance(found, TieredPrices):
            notes["base tier"] = None
            found = found.base
        return found

    plain = amount("input_mtok")
    if plain is None:
        return None
    output = amount("output_mtok")
    if output is None:
        output = Decimal(0) if _is_embedding(info) else plain
        notes["no price of output" if _is_embedding(info) else "output as input"] = None
    cached, write, reasoning = map(amount, ("cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok"))
    if cached is None:
        notes["cached input as input"] = None
    if write is None:
        notes["cache write as input"] = None
    if reasoning is None:
        notes["reasoning as output"] = None
    amounts = (
        plain,
        plain if cached is None else cached,
        plain if write is None else write,
        output,
        output if reasoning is None else reasoning,
    )
    for one in amounts:
        to_atto(one)
    return PublicPrice(starts_at, amounts, tuple(notes))


def _is_embedding(info: ModelInfo) -> bool:
    return "embed" in info.id.lower()
