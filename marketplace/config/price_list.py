"""Prices that every installation starts with: well-known public models, and instance types by the hour.

Copied into our dated tables once; from then on the tables are the truth and operators change them by proposals. How
public prices become ours is said in ``public_prices``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import transaction
from genai_prices.types import ModelInfo

from marketplace.config import public_prices
from marketplace.config.public_prices import AMOUNTS, IN_FORCE_FROM, LONGEST_NAME
from marketplace.core.errors import InvalidInput
from metering.models import InstanceRate, LanguageModel, RateCard

# provider and model as genai-prices calls them, our class of model
PUBLIC_MODELS = (
    ("openai", "gpt-4o-mini", "small"),
    ("openai", "gpt-4o", "large"),
    ("openai", "gpt-4.1-mini", "small"),
    ("openai", "gpt-4.1", "large"),
    ("openai", "gpt-5-nano", "tiny"),
    ("openai", "gpt-5-mini", "small"),
    ("openai", "gpt-5", "large"),
    ("openai", "gpt-oss-20b", "small"),
    ("openai", "gpt-oss-120b", "medium"),
    ("openai", "text-embedding-3-small", "embedding"),
    ("anthropic", "claude-haiku-4-5", "small"),
    ("anthropic", "claude-sonnet-4-5", "large"),
    ("anthropic", "claude-opus-4-5", "large"),
    ("google", "gemini-2.5-flash-lite", "tiny"),
    ("google", "gemini-2.5-flash", "small"),
    ("google", "gemini-2.5-pro", "large"),
    ("mistral", "mistral-small-latest", "small"),
    ("mistral", "mistral-large", "large"),
    ("groq", "llama-3.1-8b-instant", "tiny"),
    ("groq", "llama-3.3-70b-versatile", "medium"),
    ("x-ai", "grok-3-mini", "small"),
)

# US dollars an hour, on demand, Linux, us-east-1
INSTANCE_SOURCE = "Amazon EC2 on-demand list price, us-east-1, Linux"
INSTANCE_TYPES = (
    ("g4dn.xlarge", "0.526", INSTANCE_SOURCE),
    ("g5.xlarge", "1.006", INSTANCE_SOURCE),
    ("g6.xlarge", "0.8048", INSTANCE_SOURCE),
    ("p4d.24xlarge", "21.957642", INSTANCE_SOURCE),
    ("p5.48xlarge", "55.04", INSTANCE_SOURCE),
    ("cpu-small", "0.0416", "internal rate for 2 virtual CPUs and 4 GiB"),
)


@dataclass
class Seeded:
    """What seeding did, by names: ``changed`` are there already, at another price than the snapshot has now."""

    added: list[str] = field(default_factory=list)
    cards: int = 0
    known: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@transaction.atomic
def seed_catalogue() -> int:
    """Add the public models and instance types that are missing; what is there stays as it is.

    Returns how many were added. A model that the snapshot does not know (any more) is left out.
    """
    return len(_seed(_well_known()).added) + _seed_instances()


@transaction.atomic
def seed_prices(*, providers: Sequence[str] = (), is_dry_run: bool = False) -> Seeded:
    """Add missing models with all their dated prices: of these providers, else the well-known ones of all.

    A model that is in the catalogue stays as it is, whatever the snapshot says. Where several providers have a model of
    one name, the first has it. Left out is what has no price for tokens, is free, or has a name too long for us. Raises
    InvalidInput for a provider that the snapshot does not know.
    """
    unknown = sorted(set(providers) - set(public_prices.provider_names()))
    if unknown:
        known = ", ".join(public_prices.provider_names())
        raise InvalidInput("provider", f"{unknown[0]!r} is not one of {known}")
    everything = ((name, info, "") for name in providers for info in public_prices.models_of(name))
    seeded = _seed(everything if providers else _well_known())
    if is_dry_run:
        transaction.set_rollback(True)
    return seeded


def _well_known() -> Iterable[tuple[str, ModelInfo, str]]:
    for provider, name, model_class in PUBLIC_MODELS:
        info = public_prices.find_model(provider, name)
        if info is not None:
            yield provider, info, model_class


def _seed(wanted: Iterable[tuple[str, ModelInfo, str]]) -> Seeded:
    """Add models with their prices; an empty class is guessed."""
    seeded = Seeded()
    known = {model.name: model for model in LanguageModel.objects.all()}
    latest = {card.model_id: card for card in RateCard.objects.filter(ends_at=None)}
    cards: list[RateCard] = []
    for provider, info, model_class in wanted:
        prices = public_prices.history(info)
        if not prices or len(info.id) > LONGEST_NAME or not all(any(one.amounts) for one in prices):
            seeded.left_out.append(info.id)
        elif info.id in known:
            seeded.known.append(info.id)
            if _differs(latest.get(known[info.id].pk), prices[-1].amounts):
                seeded.changed.append(info.id)
        else:
            model = public_prices.language_model(
                info, model_class=model_class or public_prices.class_of(info, prices[-1])
            )
            model.save(force_insert=True)
            known[info.id] = model
            made = list(public_prices.rate_cards(model, prices, provider=provider))
            latest[model.pk] = made[-1]
            cards += made
            seeded.added.append(info.id)
    seeded.cards = len(RateCard.objects.bulk_create(cards))
    return seeded


def _differs(card: RateCard | None, amounts: tuple[Decimal, ...]) -> bool:
    if card is None:
        return False
    return amounts != tuple(getattr(card, name) for name in AMOUNTS)


def _seed_instances() -> int:
    known = set(InstanceRate.objects.values_list("instance_type", flat=True))
    missing = [
        InstanceRate(
            instance_type=name, price_per_hour=Decimal(price), starts_at=IN_FORCE_FROM, source=source
        )
        for name, price, source in INSTANCE_TYPES
        if name not in known
    ]
    return len(InstanceRate.objects.bulk_create(missing))
