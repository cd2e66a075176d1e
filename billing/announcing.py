"""Telling payers that a bill is issued: each person once for each bill, however often this is run."""

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from billing.models import Invoice
from billing.notified import payers_people
from marketplace.core import notices
from marketplace.core.money import format_money


def announce_month(period: str, *, at: datetime) -> int:
    """Tell the payers of every issued bill of a month; returns how many bills that were."""
    count = 0
    for invoice in _issued(period):
        announce(invoice, at=at)
        count += 1
    return count


def announce(invoice: Invoice, *, at: datetime) -> None:
    """Tell whom one bill concerns; a second call changes nothing, for a notice has the bill as its key."""
    amount = format_money(invoice.total_minor, invoice.currency)
    notices.notify(
        payers_people(invoice),
        text=f"{invoice.get_kind_display()} {invoice.number} for {invoice.period_id} is issued: {amount}.",
        at=at,
        key=f"invoice-issued:{invoice.pk}",
        path=reverse("billing:invoice", args=[invoice.number]),
        kind=notices.Kind.BILLING,
        organization_id=invoice.organization_id,
    )


def _issued(period: str) -> Iterator[Invoice]:
    issued = Invoice.objects.filter(period=period).exclude(state=Invoice.State.DRAFT)
    return issued.select_related("organization", "cost_center").order_by("number").iterator(chunk_size=500)
