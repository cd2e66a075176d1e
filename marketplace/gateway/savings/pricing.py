"""Models for a simulation from the catalogue: their prices and instance rates in force."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from marketplace.core.epochs import read_epochs
from marketplace.core.errors import InvalidInput
from marketplace.gateway.savings.scenario import (
    KNOWN_STRONG,
    KNOWN_WEAK,
    STRONG_SERVER,
    WEAK_SERVER,
    Model,
    Scenario,
    Server,
    known_scenario,
    offer_of,
)
from metering.ratecards import PriceBook, UnknownPrice, price_book

LARGE = ("medium", "large")


def scenario_for(*, weak: str = "", strong: str = "", at: datetime, **changes: Any) -> Scenario:
    """Build a scenario of two models of the catalogue; a name that is left out is that of the well-known one.

    Raises InvalidInput for a model that is not there or has no price now.
    """
    book = price_book.at(read_epochs())
    return known_scenario(
        weak=_named(book, weak, "weak", at=at) if weak else KNOWN_WEAK,
        strong=_named(book, strong, "strong", at=at) if strong else KNOWN_STRONG,
        **changes,
    )


def scenario_of_app(
    names: Iterable[str], *, used: Iterable[str], at: datetime, **changes: Any
) -> tuple[Scenario, list[str]]:
    """Build the scenario of an app: the cheapest model that it may use against those that it did use.

    Returns it with the names of used models that have no price now; their usage cannot be priced. Raises InvalidInput
    when there is nothing to choose between.
    """
    book = price_book.at(read_epochs())
    priced = {name: found for name in {*names, *used} if (found := _find(book, name, at=at))}
    allowed = sorted((priced[name] for name in names if name in priced), key=_price)
    served = sorted((priced[name] for name in used if name in priced), key=_price)
    if not allowed or not served or allowed[0].name == served[-1].name:
        raise InvalidInput(
            "app", "It has used only the cheapest model that it may use: there is nothing to route to."
        )
    scenario = known_scenario(weak=allowed[0], strong=served[-1], others=priced, **changes)
    return scenario, sorted(set(used) - priced.keys())


def _named(book: PriceBook, name: str, field: str, *, at: datetime) -> Model:
    found = _find(book, name, at=at)
    if found is None:
        raise InvalidInput(field, f"{name!r} is no model with a price now.")
    return found


def _find(book: PriceBook, name: str, *, at: datetime) -> Model | None:
    facts = book.models.get(name)
    if facts is None or facts.model_class == "embedding":
        return None
    try:
        prices = book.token_prices(name, at)
    except UnknownPrice:
        return None
    server = STRONG_SERVER if facts.model_class in LARGE else WEAK_SERVER
    offer = offer_of(name, facts.model_class, prices)
    return Model(offer, _at_rate(book, server, at=at), facts.price_at(at, is_batch=True))


def _at_rate(book: PriceBook, server: Server, *, at: datetime) -> Server:
    """Take the rate of the instance type that the marketplace has; the list price where it has none."""
    try:
        return replace(server, per_hour=book.instance_price(server.instance_type, at).per_hour)
    except UnknownPrice:
        return server


def _price(model: Model) -> int:
    """Order models by what as much input as output costs."""
    return model.offer.prices.input + model.offer.prices.output
