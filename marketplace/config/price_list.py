"""Prices that every installation starts with: well-known public models, and instance types by the hour.

Copied into our dated tables once; from then on the tables are the truth and the operator changes them. Models come
from the genai-prices snapshot that is installed with us, so nothing is fetched.
"""

from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version

from django.db import transaction
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from metering.models import InstanceRate, LanguageModel, RateCard

# Long before anything that can still be reported: usage may be up to 35 days old.
IN_FORCE_FROM = datetime(2025, 1, 1, tzinfo=UTC)
PER_MTOK_SCALE = Decimal("0.000000000001")

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


@transaction.atomic
def seed_catalogue(*, at: datetime) -> int:
    """Add the public models and instance types that are missing; what is there stays as it is.

    Returns how many were added. A model that the snapshot does not know (any more) is left out.
    """
    return _seed_models(at) + _seed_instances()


def _seed_models(at: datetime) -> int:
    known = set(LanguageModel.objects.values_list("name", flat=True))
    added = 0
    for provider, name, model_class in PUBLIC_MODELS:
        info = find_model(provider, name)
        if name in known or info is None:
            continue
        model = LanguageModel.objects.create(
            name=name,
            title=info.name or name,
            model_class=model_class,
            context_tokens=info.context_window or 128_000,
        )
        source = f"genai-prices {version('genai-prices')}: {provider}, list price on {at:%Y-%m-%d}"
        rate_card(model, info.get_prices(at), source=source).save()
        added += 1
    return added


def find_model(provider: str, name: str) -> ModelInfo | None:
    """Find a model in the installed snapshot of public prices."""
    models = next((found.models for found in providers if found.id == provider), ())
    return next((model for model in models if model.id == name), None)


def rate_card(model: LanguageModel, price: ModelPrice, *, source: str) -> RateCard:
    """Build the rate card of a public price, unsaved: without a cached price, cached tokens cost what others do."""
    plain = _per_mtok(price, "input_mtok")
    output = _per_mtok(price, "output_mtok")
    return RateCard(
        model=model,
        input_per_mtok=plain,
        cached_input_per_mtok=_per_mtok(price, "cache_read_mtok", default=plain),
        cache_write_per_mtok=_per_mtok(price, "cache_write_mtok", default=plain),
        output_per_mtok=output,
        reasoning_per_mtok=output,
        starts_at=IN_FORCE_FROM,
        source=source,
    )


def _per_mtok(price: ModelPrice, token_class: str, *, default: Decimal = Decimal(0)) -> Decimal:
    """Take the price of requests of usual length: tiers for very long prompts are not part of a rate card."""
    found: Decimal | TieredPrices | None = getattr(price, token_class, None)
    if found is None:
        return default
    return (found.base if isinstance(found, TieredPrices) else found).quantize(PER_MTOK_SCALE)


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
