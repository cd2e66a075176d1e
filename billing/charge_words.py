"""A charge as its plan has it, as facts that people read: name and value."""

from collections.abc import Iterator, Mapping
from typing import Any

from billing import measures

MODELS = {
    "flat": "a fee",
    "per_unit": "per unit",
    "graduated": "graduated",
    "volume": "by volume",
    "package": "by package",
    "percentage": "a percentage",
    "cost_plus": "cost and a markup",
    "included_credit": "credit included",
}
NAMES = {
    "amount": "Amount",
    "unit_amount": "Each",
    "package_size": "Units a package",
    "package_amount": "A package",
    "rounding": "Packages are rounded",
    "rate": "Rate",
    "fixed_amount": "And for each",
    "markup": "Markup",
    "free_units": "Free",
    "free_transactions": "Free transactions",
    "minimum": "At least",
    "maximum": "At most",
    "prorate": "Counted by days",
}
PRICES = {"unit_amount": "each", "flat_amount": "once"}


def facts_of(charge: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say all of a charge; a field without a name of its own is called as it is written."""
    model = str(charge.get("model", ""))
    found = [("Charge", measures.in_words(str(charge.get("code", "")))), ("Price", MODELS.get(model, model))]
    return found + list(_others(charge))


def _others(charge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in charge.items():
        if name in ("code", "model") or value is None:
            continue
        if name == "tiers":
            yield "Tiers", "; ".join(_tier(tier) for tier in value)
        else:
            yield NAMES.get(name, name), _text(value)


def _tier(tier: Mapping[str, Any]) -> str:
    bound = tier.get("up_to")
    prices = (f"{_text(tier[name])} {word}" for name, word in PRICES.items() if tier.get(name) is not None)
    return f"{'beyond' if bound is None else f'up to {bound}'}: {' + '.join(prices)}"


def _text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
