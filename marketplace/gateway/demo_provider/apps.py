"""Two small HTTP apps, as a creator would run them: JSON in, JSON out, usage in a header."""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.demo_provider import restaurants

_PER_EURO = {
    "EUR": Decimal("1"),
    "USD": Decimal("1.10"),
    "GBP": Decimal("0.85"),
    "CHF": Decimal("0.95"),
    "JPY": Decimal("160"),
    "SEK": Decimal("11.20"),
    "PLN": Decimal("4.30"),
}
"""Invented rates that never move."""


class BadAppInput(Exception):
    """The input does not fit the app."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def find_restaurants(given: Mapping[str, Any]) -> dict[str, Any]:
    """Suggest restaurants for ``{"city", "cuisine"}``."""
    city, cuisine = given.get("city"), given.get("cuisine", "")
    if not isinstance(city, str) or not city.strip():
        raise BadAppInput("city", "Say which city.")
    if not isinstance(cuisine, str):
        raise BadAppInput("cuisine", "The cuisine is a word.")
    found = restaurants.suggest(city=city.strip()[:80], cuisine=cuisine.strip()[:40], limit=5)
    return {"city": city.strip(), "cuisine": cuisine.strip(), "suggestions": found}


def convert_currency(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``{"amount", "from", "to"}``, to the cent of the target currency."""
    rates = {name: _rate(given, name) for name in ("from", "to")}
    try:
        amount = Decimal(str(given.get("amount")))
    except InvalidOperation:
        raise BadAppInput("amount", "The amount is a number.") from None
    if not amount.is_finite() or abs(amount) > Decimal("1e15"):
        raise BadAppInput("amount", "The amount is a number below a quadrillion.")
    cent = Decimal(1) if given["to"] == "JPY" else Decimal("0.01")
    converted = (amount * rates["to"] / rates["from"]).quantize(cent, rounding=ROUND_HALF_UP)
    rate = (rates["to"] / rates["from"]).quantize(Decimal("0.000001"))
    return {"amount": str(converted), "currency": given["to"], "rate": str(rate), "rates": "demo, fixed"}


APPS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "/apps/restaurant-finder": find_restaurants,
    "/apps/fx-convert": convert_currency,
}


def run(path: str, *, body: bytes) -> tuple[dict[str, Any], str]:
    """Run an app on a request body, plain or under ``input``; give its output and its usage header.

    Raises BadAppInput and msgspec.DecodeError.
    """
    given = msgspec.json.decode(body, type=dict[str, Any])
    inner = given.get("input")
    output = APPS[path](inner if isinstance(inner, dict) else given)
    return output, _usage_header(body, output)


def _usage_header(body: bytes, output: dict[str, Any]) -> str:
    usage = {
        "model": "llm-3b",
        "input_tokens": tokens.count(body.decode()),
        "output_tokens": tokens.count(msgspec.json.encode(output).decode()),
    }
    return msgspec.json.encode(usage).decode()


def _rate(given: Mapping[str, Any], name: str) -> Decimal:
    code = given.get(name)
    if not isinstance(code, str) or code not in _PER_EURO:
        raise BadAppInput(name, f"Say one of {', '.join(_PER_EURO)}.")
    return _PER_EURO[code]
