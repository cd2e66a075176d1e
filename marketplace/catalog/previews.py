"""The card of an app as the catalogue would show it, made of whatever is typed so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.catalog import about
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.price_words import price_text
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount


@dataclass(frozen=True)
class Preview:
    """What a card shows."""

    name: str
    summary: str
    icon: str
    price: str


def draw_card(typed: Mapping[str, Any], currency: str, *, icon: str = "app-window") -> Preview:
    """Draw a card from form values; what cannot be read yet counts as not set."""
    wanted = str(typed.get("icon") or icon)
    terms = PlanTerms(
        fee=_amount(typed, "fee", "0"),
        price_per_call=_amount(typed, "price_per_call", "0"),
        markup=_amount(typed, "markup", "0") if typed.get("markup") not in ("", None) else None,
    )
    return Preview(
        name=str(typed.get("name") or "Name of the app")[:80],
        summary=str(typed.get("summary") or "What it does, in one sentence.")[:160],
        icon=wanted if wanted in about.ICONS else icon,
        price=price_text(terms, currency=currency),
    )


def _amount(typed: Mapping[str, Any], name: str, default: str) -> Any:
    try:
        return abs(parse_amount(str(typed.get(name) or default).strip(), field=name))
    except InvalidInput:
        return parse_amount(default, field=name)
