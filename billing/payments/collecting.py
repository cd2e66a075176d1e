"""Invoices that are collected by themselves, because their payer agreed to that."""

from datetime import datetime

from billing.models import Invoice, PaymentAttempt, PaymentMethod
from billing.payments import attempts
from billing.payments.processor import Processor


def collect(invoice: Invoice, *, processor: Processor, at: datetime) -> PaymentAttempt | None:
    """Collect what is due of an invoice from the default card or account; None when nothing can be.

    Safe to repeat while it is under way: the attempt that is there is carried on. Raises ProcessorAway.
    """
    method = _default_of(invoice.organization_id)
    if method is None:
        return None
    under_way = invoice.payment_attempts.filter(state__in=PaymentAttempt.ACTIVE).first()
    if under_way is not None:
        return attempts.carry_out(under_way, processor=processor, at=at) if under_way.is_automatic else None
    try:
        attempt = attempts.begin(invoice, customer=method.customer, method=method, at=at)
    except (attempts.NothingDue, attempts.PaymentUnderWay):
        return None
    return attempts.carry_out(attempt, processor=processor, at=at)


def _default_of(organization_id: int) -> PaymentMethod | None:
    agreed = PaymentMethod.objects.filter(
        customer__organization=organization_id, customer__is_automatic=True, is_default=True
    )
    return agreed.select_related("customer").first()
