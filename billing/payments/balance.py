"""The processor's account of our money beside our books: each line is kept, booked where only it tells, and matched."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, Sum

from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import (
    BalanceEntry,
    BalanceTransaction,
    JournalEntry,
    PaymentAttempt,
    PaymentDispute,
    PaymentRefund,
    Posting,
    Transfer,
    TransferReversal,
)
from billing.payments.processor import Processor
from billing.payments.refunds import reference_of
from billing.posting_months import running_month
from marketplace.core.money import format_money

# Lines may turn up a little after others that are younger.
OVERLAP = timedelta(days=3)
BANK_KINDS = ("payout", "payout_failure", "payout_cancel", "topup", "topup_reversal")
FEE_KINDS = ("stripe_fee", "network_cost", "application_fee")
KEY_LENGTH = 80


def sync(*, processor: Processor, at: datetime) -> int:
    """Keep the lines that are new, book their fees and what went to the bank, and match all; returns how many were new.

    Safe to repeat and to run twice at once. Raises ProcessorAway.
    """
    last = BalanceTransaction.objects.aggregate(last=Max("happened_at"))["last"]
    since = {"created": {"gte": int((last - OVERLAP).timestamp())}} if last else {}
    new = 0
    for found in processor.pages("balance_transactions.list", **since):
        new += _keep(found, at=at)
    for line in BalanceTransaction.objects.filter(Q(entries=None) | ~Q(difference="")).distinct():
        match(line)
    return new


def _keep(found: dict[str, Any], *, at: datetime) -> bool:
    with transaction.atomic():
        line, is_new = BalanceTransaction.objects.get_or_create(
            transaction_id=found["id"],
            defaults={
                "kind": found["type"],
                "source_id": str(found.get("source") or "")[:KEY_LENGTH],
                "amount_minor": found["amount"],
                "fee_minor": found["fee"],
                "net_minor": found["net"],
                "currency": found["currency"].upper(),
                "description": str(found.get("description") or "")[:300],
                "happened_at": datetime.fromtimestamp(found["created"], UTC),
                "available_at": datetime.fromtimestamp(found["available_on"], UTC),
            },
        )
        if is_new:
            journal.post(_fees(line, at=at), at=at)
            if line.kind in BANK_KINDS:
                journal.post(_to_bank(line, at=at), at=at)
    return is_new


def _fees(line: BalanceTransaction, *, at: datetime) -> Fact:
    """Book what the processor keeps: the fee of a line, or a line that is nothing but a fee."""
    fee_minor = line.fee_minor - (line.amount_minor if line.kind in FEE_KINDS else 0)
    return Fact(
        key=f"processor-fee:{line.pk}",
        kind="billing.processor_fee",
        memo=f"Fee of {line.kind.replace('_', ' ')} {line.source_id or line.pk}",
        legs=[
            Leg(chart.PAYMENT_FEES, fee_minor, line.currency),
            Leg(chart.PROCESSOR_BALANCE, -fee_minor, line.currency),
        ],
        period=running_month(at),
    )


def _to_bank(line: BalanceTransaction, *, at: datetime) -> Fact:
    """Book what went to our bank, or came from it: the sign is in the line."""
    return Fact(
        key=f"processor-bank:{line.pk}",
        kind="billing.processor_bank",
        memo=f"{line.kind.replace('_', ' ').capitalize()} {line.source_id}",
        legs=[
            Leg(chart.BANK, -line.amount_minor, line.currency),
            Leg(chart.PROCESSOR_BALANCE, line.amount_minor, line.currency),
        ],
        period=running_month(at),
    )


def match(line: BalanceTransaction) -> None:
    """Find the entries of our books that say what a line says, and note down what differs."""
    entries = list(JournalEntry.objects.filter(idempotency_key__in=list(_keys(line))))
    booked_minor = (
        Posting.objects.filter(
            entry__in=entries, account=chart.PROCESSOR_BALANCE.code, currency=line.currency
        ).aggregate(total=Sum("amount_minor", default=0))["total"]
        or 0
    )
    line.entries.set(entries)
    difference = _difference(line, int(booked_minor), is_found=bool(entries))
    BalanceTransaction.objects.filter(pk=line.pk).update(difference=difference)


def _difference(line: BalanceTransaction, booked_minor: int, *, is_found: bool) -> str:
    if booked_minor == line.net_minor:
        return ""
    if not is_found or booked_minor == -line.fee_minor:
        return "It is in no entry of the books."
    booked = format_money(booked_minor, line.currency)
    return f"The books say {booked}, the processor {format_money(line.net_minor, line.currency)}."


def _keys(line: BalanceTransaction) -> Iterator[str]:
    """Yield the keys of the entries that a line should have."""
    yield f"processor-fee:{line.pk}"
    if line.kind in BANK_KINDS:
        yield f"processor-bank:{line.pk}"
    source = line.source_id
    if attempt := PaymentAttempt.objects.filter(charge_id=source).exclude(charge_id="").first():
        if payment := attempt.invoice.payments.filter(reference=attempt.intent_id).first():
            yield f"payment:{payment.pk}"
            yield from (f"balance:{entry.pk}" for entry in payment.balance_entries.filter(amount_minor__gt=0))
        elif kept := BalanceEntry.objects.filter(reference=attempt.intent_id, kind="on_account").first():
            yield f"balance:{kept.pk}"
    if refund := PaymentRefund.objects.filter(refund_id=source).first():
        kind = "on_account" if line.amount_minor > 0 else "paid_back"
        moved = BalanceEntry.objects.filter(reference=reference_of(refund), kind=kind)
        yield from (f"balance:{entry.pk}" for entry in moved)
    if dispute := PaymentDispute.objects.filter(dispute_id=source).first():
        yield f"payment-dispute-{'reinstated' if line.amount_minor > 0 else 'withdrawn'}:{dispute.pk}"
    if sent := Transfer.objects.filter(transfer_id=source).first():
        yield f"transfer:{sent.pk}"
    if back := TransferReversal.objects.filter(reversal_id=source).first():
        yield f"transfer-reversal:{back.pk}"
