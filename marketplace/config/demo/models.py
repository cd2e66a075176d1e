"""The models of the demo provider, and what they cost; one of them became cheaper six weeks ago."""

from decimal import Decimal

from marketplace.config.demo.provider_address import API_PATH
from marketplace.config.demo.timeline import Timeline
from marketplace.gateway.models import Provider, ProviderModel
from metering.models import LanguageModel, RateCard
from metering.ratecards import change_price

PRICED_DAYS_AGO = 400
SOURCE = "demo provider price list"

# name, title, class, context, US dollars per million tokens: input, cached input, cache write, output, reasoning
MODELS = (
    ("llm-1b", "Demo LLM 1B", "tiny", 8_192, ("0.04", "0.02", "0.05", "0.08", "0.08")),
    ("llm-3b", "Demo LLM 3B", "tiny", 16_384, ("0.08", "0.04", "0.10", "0.16", "0.16")),
    ("llm-8b", "Demo LLM 8B", "small", 32_768, ("0.24", "0.06", "0.30", "0.72", "0.72")),
    ("llm-70b", "Demo LLM 70B", "medium", 131_072, ("0.80", "0.20", "1.00", "2.40", "2.40")),
    ("llm-400b", "Demo LLM 400B", "large", 131_072, ("3.00", "0.30", "3.75", "12.00", "12.00")),
    ("embed-small", "Demo Embedding small", "embedding", 8_192, ("0.02", "0.02", "0.02", "0", "0")),
)
CHEAPER_MODEL = "llm-8b"
CHEAPER_PRICES = ("0.20", "0.05", "0.25", "0.60", "0.60")
CHEAPER_SINCE_DAYS = 41


def add(timeline: Timeline, *, provider_url: str) -> None:
    """Write the demo provider, its models and their dated prices."""
    provider = Provider.objects.create(
        name="demo",
        title="Demo provider (answers are made up)",
        base_url=provider_url + API_PATH,
        is_demo=True,
    )
    for name, title, model_class, context_tokens, prices in MODELS:
        model = LanguageModel.objects.create(
            name=name, title=title, model_class=model_class, context_tokens=context_tokens
        )
        ProviderModel.objects.create(provider=provider, model=model, upstream_name=name)
        card = _card(model, prices)
        card.starts_at = timeline.ago(PRICED_DAYS_AGO, 0)
        card.save()
        if name == CHEAPER_MODEL:
            change_price(_card(model, CHEAPER_PRICES), starts_at=timeline.ago(CHEAPER_SINCE_DAYS, 0))


def _card(model: LanguageModel, prices: tuple[str, ...]) -> RateCard:
    plain, cached, write, output, reasoning = map(Decimal, prices)
    return RateCard(
        model=model,
        input_per_mtok=plain,
        cached_input_per_mtok=cached,
        cache_write_per_mtok=write,
        output_per_mtok=output,
        reasoning_per_mtok=reasoning,
        source=SOURCE,
    )
