"""Invoices after they were issued: what is due, what came in, what is overdue, and when nothing is due any more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse

from billing.ledger import chart, journal
from billing.ledger.chart import Account
from billing.ledger.journal import Fact, Leg
from billing.models import CreditNote, Invoice, PaymentRefund, ReceivedPayment
from billing.notified import payers_people
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition, move

State = Invoice.State
# What may still be paid; statements are settled inside of their organization.
OPEN_STATES = (State.FINALIZED, State.OVERDUE)
LONGEST_REFERENCE = 100


class NotPayable(Conflict):
    """Only invoices that are issued and neither paid nor written off take a payment."""

    code = "not_payable"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        why = invoice.state.replace("_", " ") if invoice.kind == Invoice.Kind.INVOICE else "a statement"
        super().__init__(f"{invoice} is {why} and takes no payment.")


class ReferenceUsed(Conflict):
    """A reference names one payment of an invoice, and this is another."""

    code = "reference_used"

    def __init__(self, payment: ReceivedPayment) -> None:
        self.payment = payment
        super().__init__(
            f"The reference {payment.reference} was recorded for this invoice with another amount."
        )


@dataclass(frozen=True)
class Due:
    """What an invoice came to so far, in minor units; below zero the payer is owed."""

    total_minor: int
    credited_minor: int
    paid_minor: int
    refunded_minor: int = 0

    @property
    def minor(self) -> int:
        return self.total_minor - self.credited_minor - self.paid_minor + self.refunded_minor


def due_of(invoice: Invoice) -> Due:
    """Read what is due of an invoice (three queries)."""
    notes = invoice.credit_notes.filter(state=CreditNote.State.ISSUED)
    return Due(
        invoice.total_minor,
        int(notes.aggregate(total=Sum("total_minor", default=0))["total"]),
        int(invoice.payments.aggregate(total=Sum("amount_minor", default=0))["total"]),
        int(refunds_of_credit(invoice=invoice).aggregate(total=Sum("amount_minor", default=0))["total"]),
    )


def with_due(invoices: QuerySet[Invoice]) -> Any:
    """Add `credited_minor`, `paid_minor`, `refunded_minor` and `due_minor` to each invoice, in the same query."""
    notes = CreditNote.objects.filter(invoice=OuterRef("pk"), state=CreditNote.State.ISSUED)
    paid = ReceivedPayment.objects.filter(invoice=OuterRef("pk"))
    return invoices.annotate(
        credited_minor=_sum(notes, "total_minor"),
        paid_minor=_sum(paid, "amount_minor"),
        refunded_minor=_sum(refunds_of_credit(invoice=OuterRef("pk")), "amount_minor"),
    ).annotate(due_minor=F("total_minor") - F("credited_minor") - F("paid_minor") + F("refunded_minor"))


def refunds_of_credit(**of: Any) -> QuerySet[PaymentRefund]:
    """Narrow to money that went back because of a credit note, and is not on its way back to us."""
    return PaymentRefund.objects.filter(
        credit_note__isnull=False,
        state__in=(PaymentRefund.State.PENDING, PaymentRefund.State.SUCCEEDED),
        **of,
    )


def _sum(rows: QuerySet[Any], amount: str) -> Coalesce:
    summed = rows.order_by().values("invoice").annotate(total=Sum(amount))
    return Coalesce(Subquery(summed.values("total")), 0)


def is_payable(invoice: Invoice) -> bool:
    """Tell whether an invoice takes payments."""
    return invoice.kind == Invoice.Kind.INVOICE and invoice.state in OPEN_STATES


def record_payment(
    invoice: Invoice, *, amount_minor: int, reference: str, received_date: date, by: Actor, at: datetime
) -> ReceivedPayment:
    """Record money that came in, in part or in full; an invoice with nothing due any more is paid.

    The same reference and amount again returns the first payment. Locks the invoice. Raises NotAllowed for who is not
    the marketplace's finance, InvalidInput by field, NotPayable, ReferenceUsed.
    """
    access.require_platform(by, Role.FINANCE)
    reference = reference.strip()
    if not 0 < len(reference) <= LONGEST_REFERENCE:
        message = f"is needed, at most {LONGEST_REFERENCE} characters"
        raise InvalidInput("reference", message, limit=LONGEST_REFERENCE)
    if received_date > at.date():
        raise InvalidInput("received_date", "lies in the future")
    return take(
        invoice,
        amount_minor=amount_minor,
        reference=reference,
        received_date=received_date,
        into=chart.BANK,
        by=by.user,
        at=at,
    )


def take(
    invoice: Invoice,
    *,
    amount_minor: int,
    reference: str,
    received_date: date,
    into: Account,
    at: datetime,
    by: User | None = None,
) -> ReceivedPayment:
    """Settle an invoice with money that is on an account of ours, whoever or whatever saw it there.

    The same reference and amount again returns the first payment. Locks the invoice. Raises InvalidInput, NotPayable,
    ReferenceUsed.
    """
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=invoice.pk)
        if earlier := invoice.payments.filter(reference=reference).first():
            if earlier.amount_minor != amount_minor:
                raise ReferenceUsed(earlier)
            return earlier
        _check_amount(invoice, amount_minor)
        payment = ReceivedPayment.objects.create(
            invoice=invoice,
            amount_minor=amount_minor,
            reference=reference,
            received_date=received_date,
            recorded_by=by,
            recorded_at=at,
        )
        journal.post(_fact(payment, into=into, at=at), at=at)
        new = {"amount_minor": amount_minor, "reference": reference, "received": str(received_date)}
        audit.record("billing.invoice.payment_received", subject=invoice, at=at, by=by, new=new)
        settle(invoice, by=by, at=at)
    return payment


def _check_amount(invoice: Invoice, amount_minor: int) -> None:
    if not is_payable(invoice):
        raise NotPayable(invoice)
    due_minor = due_of(invoice).minor
    if not 0 < amount_minor <= due_minor:
        message = (
            f"must be more than zero and at most {format_money(due_minor, invoice.currency)}, what is due"
        )
        raise InvalidInput("amount", message, limit=due_minor, code="out_of_range")


def _fact(payment: ReceivedPayment, *, into: Account, at: datetime) -> Fact:
    invoice = payment.invoice
    who = {"organization_id": invoice.organization_id}
    return Fact(
        key=f"payment:{payment.pk}",
        kind="billing.payment",
        memo=f"Payment {payment.reference} for {invoice}",
        legs=[
            Leg(into, payment.amount_minor, invoice.currency, **who),
            Leg(chart.RECEIVABLE, -payment.amount_minor, invoice.currency, **who),
        ],
        period=running_month(at),
        invoice=invoice,
    )


def settle(invoice: Invoice, *, by: User | None, at: datetime) -> None:
    """Call an open invoice paid when nothing of it is due any more, by money or by credit notes."""
    if is_payable(invoice) and due_of(invoice).minor <= 0:
        move(invoice, Invoice.TRANSITIONS, to=State.PAID, action="billing.invoice.paid", at=at, by=by)


def mark_overdue(*, at: datetime) -> int:
    """Call invoices overdue whose day has passed, and tell who pays; returns how many. Safe to run twice."""
    late = Invoice.objects.filter(kind=Invoice.Kind.INVOICE, state=State.FINALIZED, due_at__lte=at)
    return sum(_mark(invoice, at=at) for invoice in with_due(late).order_by("pk"))


def _mark(invoice: Any, *, at: datetime) -> bool:
    """Move one invoice, unless somebody paid it meanwhile."""
    try:
        with transaction.atomic():
            move(invoice, Invoice.TRANSITIONS, to=State.OVERDUE, action="billing.invoice.overdue", at=at)
            due = format_money(invoice.due_minor, invoice.currency)
            notify(
                payers_people(invoice),
                text=f"{invoice} is overdue: {due} were due on {invoice.due_at:%d %B %Y}.",
                at=at,
                key=f"invoice-overdue:{invoice.pk}",
                path=reverse("billing:invoice", args=[invoice.number]),
                kind=NoticeKind.BILLING,
                organization_id=invoice.organization_id,
            )
    except IllegalTransition:
        return False
    return True


@dataclass(frozen=True)
class Aged:
    """What is due in one currency, by how long its day has passed, in minor units."""

    currency: str
    not_due_minor: int = 0
    to_30_minor: int = 0
    to_60_minor: int = 0
    older_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.not_due_minor + self.to_30_minor + self.to_60_minor + self.older_minor


def open_invoices(invoices: QuerySet[Invoice]) -> Any:
    """Narrow to invoices that wait for money, the longest waiting first, with what is due."""
    waiting = invoices.filter(kind=Invoice.Kind.INVOICE, state__in=OPEN_STATES)
    return with_due(waiting).filter(due_minor__gt=0).order_by("due_at", "number")


def aged(invoices: Iterable[Any], *, at: datetime) -> list[Aged]:
    """Sum open invoices by currency and age."""
    sums: dict[str, dict[str, int]] = {}
    for one in invoices:
        of_currency = sums.setdefault(one.currency, {})
        age = _age(one.due_at, at=at)
        of_currency[age] = of_currency.get(age, 0) + one.due_minor
    return [Aged(currency, **found) for currency, found in sorted(sums.items())]


def _age(due_at: datetime, *, at: datetime) -> str:
    days = (at - due_at).days
    if at < due_at:
        return "not_due_minor"
    return "to_30_minor" if days < 30 else "to_60_minor" if days < 60 else "older_minor"
