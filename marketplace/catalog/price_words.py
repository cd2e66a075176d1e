"""A plan's price in words. Pure: amounts come in as the terms of a plan."""

from decimal import Decimal

from marketplace.catalog.plan_terms import PlanTerms
from marketplace.core.money import format_amount


def price_parts(terms: PlanTerms, *, currency: str) -> list[str]:
    """Say what is charged, one text for each part: "$50.00 a month", "$0.02 a call", "cost of models + 30 %"."""
    parts = []
    if terms.fee:
        parts.append(f"{format_amount(terms.fee, currency)} a month")
    if terms.price_per_call:
        parts.append(f"{format_amount(terms.price_per_call, currency)} a call")
    if terms.markup is not None:
        parts.append(f"cost of models{_percent(terms.markup)}")
    return parts or ["Free"]


def price_text(terms: PlanTerms, *, currency: str) -> str:
    """Say the whole price in one line: "$50.00 a month + $0.02 a call"."""
    return " + ".join(price_parts(terms, currency=currency))


def _percent(markup: Decimal) -> str:
    return f" + {(markup * 100).normalize():f} %" if markup else ""
