"""Wallets pay bills: after tax, as far as they go, in the order in which credits are used."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import settling, wallet_books, wallets
from billing.models import Invoice, ReceivedPayment, Wallet, WalletCredit
from billing.settling import due_of
from billing.wallet_order import Taken, take
from marketplace.accounts.models import CostCenter
from marketplace.core import audit

SOURCE = ReceivedPayment.Source.PREPAID


def pay(invoice: Invoice, *, at: datetime, by: Any = None) -> ReceivedPayment | None:
    """Pay what is due of a finalized bill out of the payer's wallet, in part or in full; None when nothing was paid.

    Locks the invoice, then the wallet: of two bills of one wallet at once, the second finds what the first left.
    """
    if not _takes_credit(invoice):
        return None
    with transaction.atomic():
        settling.locked(invoice)
        wallet = Wallet.objects.select_for_update().filter(
            organization=invoice.organization_id,
            cost_center=invoice.cost_center_id,
            currency=invoice.currency,
            balance_minor__gt=0,
        )
        found = wallet.first()
        if found is None:
            return None
        taken = take(found.credits.filter(left_minor__gt=0), due_of(invoice).minor, at=at)
        return _paid(invoice, found, taken, at=at, by=by) if taken else None


def pay_open(wallet: Wallet, *, at: datetime, by: Any = None) -> int:
    """Pay the bills that wait for money, the longest waiting first; returns how many got some."""
    bills = Invoice.objects.filter(
        organization=wallet.organization_id,
        cost_center=wallet.cost_center_id,
        currency=wallet.currency,
        state__in=settling.OPEN_STATES,
    )
    waiting = settling.with_due(bills).filter(due_minor__gt=0).order_by("due_at", "number")
    return sum(pay(invoice, at=at, by=by) is not None for invoice in waiting)


def _takes_credit(invoice: Invoice) -> bool:
    """Statements that are only shown ask for nothing."""
    is_charged = invoice.kind == Invoice.Kind.INVOICE or invoice.mode == CostCenter.Mode.CHARGEBACK
    return is_charged and invoice.state in settling.OPEN_STATES


def _paid(
    invoice: Invoice, wallet: Wallet, taken: Iterable[Taken[WalletCredit]], *, at: datetime, by: Any
) -> ReceivedPayment:
    parts = list(taken)
    number = invoice.payments.filter(source=SOURCE).count() + 1
    payment = ReceivedPayment.objects.create(
        invoice=invoice,
        amount_minor=sum(part.amount_minor for part in parts),
        source=SOURCE,
        reference=f"wallet {number}",
        received_date=at.date(),
        recorded_by=by,
        recorded_at=at,
    )
    for part in parts:
        wallets.move_out(
            wallet, part, kind="applied", invoice=invoice, reference=payment.reference, at=at, by=by
        )
    wallet_books.post_applied(payment, wallet, parts, at=at)
    audit.record(
        "billing.invoice.paid_from_wallet",
        subject=invoice,
        at=at,
        by=by,
        new={"amount_minor": payment.amount_minor, "wallet": str(wallet.pk)},
    )
    settling.settle(invoice, by=by, at=at)
    wallets.tell_if_low(wallet, at=at)
    return payment
