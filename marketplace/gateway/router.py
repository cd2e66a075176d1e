"""Which model answers: a pure choice over a snapshot of offers and prices, explained in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from marketplace.core.errors import InvalidInput, NotAllowed, Unavailable
from metering.rating import Quantities, TokenPrices, token_cost

AUTO = "auto"


class ModelNotFound(InvalidInput):
    """No model of this name is in the catalogue."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__("model", f"The model {name!r} does not exist.")


class ModelNotApproved(NotAllowed):
    """The app's policy does not allow this model."""

    code = "model_not_approved"

    def __init__(self, name: str, allowed: Sequence[str]) -> None:
        super().__init__(f"The model {name!r} is not approved for this app; it may use {', '.join(allowed)}.")


class NoRoute(Unavailable):
    """No provider offers an allowed model that fits now."""

    code = "no_route"

    def __init__(self) -> None:
        super().__init__("No provider offers an approved model that fits this request.", retry_after_s=30)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model at a provider, with its price now."""

    model: str
    model_class: str
    context_tokens: int
    provider: str
    upstream_name: str
    prices: TokenPrices


@dataclass(frozen=True, slots=True)
class Need:
    """What a call asks for: the model by name or ``auto``, and how much it may read and write."""

    asked: str
    input_tokens: int
    output_tokens: int
    is_embedding: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Offers in the order in which they are tried, and why the first is first."""

    offers: tuple[Offer, ...]
    reason: str


def choose(need: Need, *, allowed: Sequence[str], offers: Sequence[Offer], known: frozenset[str]) -> Route:
    """Choose the cheapest approved model that fits; a model asked for by name is taken if it is approved.

    ``known`` are all names of the catalogue. Raises ModelNotFound, ModelNotApproved, NoRoute.
    """
    if need.asked != AUTO:
        if need.asked not in known:
            raise ModelNotFound(need.asked)
        if need.asked not in allowed:
            raise ModelNotApproved(need.asked, allowed)
    fitting = [offer for offer in offers if _fits(offer, need, allowed)]
    if not fitting:
        raise NoRoute
    ranked = sorted(fitting, key=lambda offer: (price_of(offer, need), offer.provider, offer.model))
    if need.asked != AUTO:
        return Route(tuple(ranked), f"named; {ranked[0].provider}")
    return Route(tuple(ranked), f"cheapest of {len(ranked)} approved that fit {need.input_tokens} tokens")


def _fits(offer: Offer, need: Need, allowed: Sequence[str]) -> bool:
    wanted = allowed if need.asked == AUTO else (need.asked,)
    return (
        offer.model in wanted
        and (offer.model_class == "embedding") == need.is_embedding
        and offer.context_tokens >= need.input_tokens
    )


def price_of(offer: Offer, need: Need) -> int:
    """Return the atto cost of the call at this offer, were its whole output used."""
    return token_cost(
        Quantities(input_tokens=need.input_tokens, output_tokens=need.output_tokens), offer.prices
    )


def dearest(route: Route, need: Need) -> int:
    """Return the atto cost at the dearest offer the route may come to: what a hold has to cover."""
    return max(most_of(offer, need) for offer in route.offers)


def most_of(offer: Offer, need: Need) -> int:
    """Return the atto cost at this offer, were all tokens of the dearest class they can be: written to a cache, thought."""
    prices = offer.prices
    read = max(prices.input, prices.cached_input, prices.cache_write)
    written = max(prices.output, prices.reasoning)
    return token_cost(
        Quantities(input_tokens=need.input_tokens, output_tokens=need.output_tokens),
        replace(prices, input=read, output=written)
        if (read, written) != (prices.input, prices.output)
        else prices,
    )
