"""Whom payments concern, and what they are told."""

from datetime import datetime

from django.urls import reverse

from billing.models import PaymentAttempt, PaymentDispute
from billing.notified import payers_people
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.core.money import format_money
from marketplace.core.notices import Kind, notify


def tell_of_failure(attempt: PaymentAttempt, *, at: datetime) -> None:
    """Tell who pays that nothing was taken, and why."""
    invoice = attempt.invoice
    amount = format_money(attempt.amount_minor, attempt.currency)
    why = attempt.failure_message or "The payment was declined."
    notify(
        payers_people(invoice),
        text=f"{amount} for {invoice} could not be collected: {why} Please pay it another way.",
        at=at,
        key=f"payment-failed:{attempt.pk}",
        path=reverse("billing:pay", args=[invoice.number]),
        kind=Kind.BILLING,
        organization_id=invoice.organization_id,
    )


def tell_of_dispute(dispute: PaymentDispute, *, at: datetime) -> None:
    """Tell the marketplace's finance that somebody disputes a payment, and until when it can answer."""
    amount = format_money(dispute.amount_minor, dispute.currency)
    until = f", evidence is due by {dispute.evidence_due_at:%d %B %Y}" if dispute.evidence_due_at else ""
    notify(
        access.platform_people(Role.FINANCE),
        text=f"{amount} for {dispute.attempt.invoice} are disputed ({dispute.reason}){until}.",
        at=at,
        key=f"payment-disputed:{dispute.pk}",
        path=reverse("billing:payment-dispute", args=[dispute.pk]),
        kind=Kind.BILLING,
        is_of_platform=True,
    )
