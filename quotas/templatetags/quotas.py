"""Filters for figures that are estimates: no more digits than they deserve."""

from decimal import ROUND_HALF_UP, Decimal

from django import template

from marketplace.core.templatetags.money import amount, compact
from quotas.demand import rough

register = template.Library()
CENT = Decimal("0.01")


@register.filter
def estimate(value: Decimal | None, currency: str) -> str:
    """Show an estimated amount: "$39.28", "$0.0123"; None is a dash."""
    return "–" if value is None else amount(rough(Decimal(value)), currency)


@register.filter
def rate(value: Decimal | int | None) -> str:
    """Show a rate a minute: "0.1", "18.27", "45k"; None is a dash."""
    if value is None:
        return "–"
    return compact(Decimal(value).quantize(CENT, ROUND_HALF_UP))
