"""Words for what stands on invoices: explanations of lines, links to the usage behind them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse

from billing.ledger.chart import BY_CODE
from billing.models import InvoiceLine
from marketplace.core.money import format_amount
from marketplace.core.templatetags.money import number, shorten
from metering import usage_addresses
from metering.dimensions import NOTHING

register = template.Library()


@register.filter
def explained(step: dict[str, Any], currency: str) -> str:
    """Write one step of an explanation: "tier 1: 10 x $5.00 + $2.00 = $52.00", "free units: 100"."""
    amount = _money(step["amount"], currency)
    units, unit_amount = Decimal(step.get("units", "0")), Decimal(step.get("unit_amount", "0"))
    flat_amount = Decimal(step.get("flat_amount", "0"))
    if not units:
        return f"{step['label']}: {amount}"
    if not unit_amount and not flat_amount:
        return f"{step['label']}: {number(units)}"
    flat = f" + {_money(str(flat_amount), currency)}" if flat_amount else ""
    return f"{step['label']}: {number(units)} × {_money(str(unit_amount), currency)}{flat} = {amount}"


@register.filter
def counts(line: InvoiceLine) -> bool:
    """Tell whether a line's quantity says something: calls or cost, not the 1 of a fee."""
    return line.code in ("calls", "cost")


@register.filter
def account_title(code: str) -> str:
    """Give the title of an account of the chart."""
    return BY_CODE[code].title


@register.filter
def opposite(amount_minor: int) -> int:
    """Turn a credit, which is negative, into the positive number of its column."""
    return -amount_minor


@register.simple_tag
def usage_url(line: InvoiceLine) -> str:
    """Link to the usage that a line is made of; that page counts its last day in."""
    last = line.service_ends_at - timedelta(microseconds=1)
    asked = {"first": f"{line.service_starts_at:%Y-%m-%d}", "last": f"{last:%Y-%m-%d}"}
    return f"{reverse('metering:usage')}?{urlencode(asked | _contract_of(line))}"


@register.simple_tag
def events_url(line: InvoiceLine) -> str:
    """Link to the events of the days, app and subscription of a line."""
    filters = {name: (value,) for name, value in _contract_of(line).items()}
    return usage_addresses.events(from_at=line.service_starts_at, to_at=line.service_ends_at, filters=filters)


def _contract_of(line: InvoiceLine) -> dict[str, str]:
    """Say which usage a line is of: a subscription's, or own use, which has none."""
    of_app = {"app": line.app.slug} if line.app else {}
    return {**of_app, "subscription": str(line.subscription_id or NOTHING)}


def _money(text: str, currency: str) -> str:
    return format_amount(shorten(Decimal(text)), currency)


@register.filter
def at_key(names: dict[Any, str], key: Any) -> str:
    """Look a name up; nothing for what has none."""
    return names.get(key, "")
