"""Which invoices are to be collected by themselves. Whoever issues or reminds asks here; a job does it."""

from datetime import datetime

from billing.models import Invoice, PaymentCustomer
from billing.payments import background


def is_automatic(organization_id: int) -> bool:
    """Tell whether an organization agreed that its invoices are collected by themselves."""
    return PaymentCustomer.objects.filter(organization=organization_id, is_automatic=True).exists()


def request_collection(invoice: Invoice, *, at: datetime, turn: str = "issued") -> bool:
    """Queue the collection of an invoice whose payer agreed; False when they did not. Once for each `turn`.

    Called when an invoice is issued, and by dunning, which names its steps: ``turn="reminder-1"``.
    """
    if invoice.kind != Invoice.Kind.INVOICE or not is_automatic(invoice.organization_id):
        return False
    background.queue_collection(invoice, at=at, turn=turn)
    return True
