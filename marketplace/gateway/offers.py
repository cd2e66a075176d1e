"""The snapshot the router chooses from: which provider offers which model, at which price, reached how."""

import logging
import os
from dataclasses import dataclass
from datetime import datetime

from marketplace.core import epochs
from marketplace.core.snapshots import Snapshot
from marketplace.gateway import sealing
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.pools import addresses
from marketplace.gateway.providers.base import ProviderEndpoint
from marketplace.gateway.router import Offer
from metering.ratecards import PriceBook, UnknownPrice, load_price_book

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OfferBook:
    """Everything a route needs, at one epoch."""

    prices: PriceBook
    endpoints: dict[str, ProviderEndpoint]
    listed: tuple[tuple[str, str, str], ...]
    resets: dict[str, datetime]
    """When failures of a provider were last forgotten by hand."""

    @property
    def known(self) -> frozenset[str]:
        return frozenset(self.prices.models)

    def offers(self, *, at: datetime, is_batch: bool = False) -> list[Offer]:
        """Return what can be called now, at the prices of batches for their calls. A model without a price in force is no offer: it could not be rated."""
        offers = []
        for model, provider, upstream in self.listed:
            facts = self.prices.models[model]
            try:
                prices = self.prices.token_prices(model, at, is_batch=is_batch)
            except UnknownPrice:
                continue
            if facts.is_active:
                offers.append(
                    Offer(model, facts.model_class, facts.context_tokens, provider, upstream, prices)
                )
        return offers


def load_offer_book() -> OfferBook:
    """Read providers and their models, and open the providers' keys."""
    rows = list(
        ProviderModel.objects.filter(is_active=True, provider__is_active=True)
        .select_related("provider", "model")
        .order_by("pk")
    )
    providers = {row.provider.name: row.provider for row in rows}
    endpoints = {name: endpoint_of(provider) for name, provider in providers.items()}
    resets = {name: each.health_reset_at for name, each in providers.items() if each.health_reset_at}
    listed = tuple((row.model.name, row.provider.name, row.upstream_name) for row in rows)
    return OfferBook(load_price_book(), addresses.with_replicas(endpoints), listed, resets)


def endpoint_of(provider: Provider) -> ProviderEndpoint:
    """Return how a provider is reached, with its key opened."""
    return ProviderEndpoint(
        name=provider.name,
        base_url=provider.base_url,
        kind=provider.kind,  # type: ignore[arg-type]  # a choice of the model
        api_key=key_of(provider),
        timeout_s=provider.timeout_s,
        connect_timeout_s=provider.connect_timeout_s,
        first_byte_timeout_s=provider.first_byte_timeout_s,
        idle_timeout_s=provider.idle_timeout_s,
    )


def key_of(provider: Provider) -> str:
    """Return the key of a provider: the stored one, else that of the environment variable it names, else none.

    One that was sealed under another secret key cannot be opened; the provider will refuse calls without it.
    """
    if not provider.api_key_sealed:
        return os.environ.get(provider.api_key_variable, "") if provider.api_key_variable else ""
    try:
        return sealing.unseal(provider.api_key_sealed)
    except sealing.CannotOpen:
        logger.error("the key of provider %s was sealed with another SECRET_KEY: set it again", provider.name)
        return ""


offer_book: Snapshot[OfferBook] = Snapshot(epochs.DIRECTORY, load_offer_book)
