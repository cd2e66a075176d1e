"""Payments of invoices: what came in, what went back, and when nothing is due any more."""

from datetime import date, datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from billing import balances, dunning_charges, suspending
from billing.dues import OPEN_STATES, Due, due_of, is_open, is_payable, with_due
from billing.ledger import chart, journal
from billing.ledger.chart import Account
from billing.ledger.journal import Fact, Leg
from billing.models import BalanceEntry, CustomerBalance, Invoice, PaymentReversal, ReceivedPayment
from billing.posting_months import running_month
from billing.recovering import recovered_legs
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization, User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.transitions import move

__all__ = [
    "LONGEST_REFERENCE", "OPEN_STATES", "Due", "NotPayable", "ReferenceUsed", "book_payment", "due_of", "is_open",
    "is_payable", "receive_on_account", "record_payment", "reverse_payment", "settle", "use_balance", "use_balances", "with_due",
]  # fmt: skip

State = Invoice.State
Source = ReceivedPayment.Source
LONGEST_REFERENCE = balances.LONGEST_REFERENCE
LONGEST_REASON = 500


class NotPayable(Conflict):
    """Only invoices that are issued and not paid take a payment."""

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


# What can bounce. The rest moved inside of the books.
FROM_OUTSIDE = (ReceivedPayment.Source.TRANSFER, ReceivedPayment.Source.CARD)


def record_payment(
    invoice: Invoice, *, amount_minor: int, reference: str, received_date: date, by: Actor, at: datetime
) -> ReceivedPayment:
    """Record money that finance saw come in, see ``book_payment``. Raises NotAllowed for who is not of finance."""
    access.require_platform(by, Role.FINANCE)
    return book_payment(
        invoice,
        amount_minor=amount_minor,
        reference=reference,
        received_date=received_date,
        by=by.user,
        at=at,
    )


def book_payment(
    invoice: Invoice,
    *,
    amount_minor: int,
    reference: str,
    received_date: date,
    at: datetime,
    by: User | None = None,
    source: str = Source.TRANSFER,
    money: Account = chart.BANK,
) -> ReceivedPayment:
    """Book money that came in for an invoice, in part or in full; what is beyond its due becomes the payer's balance.

    With nothing due any more the invoice is paid. On an invoice that was written off it is recovered. ``money`` is the
    account it came into; ``by`` is None for a machine. The same reference and amount again returns the first payment.
    Locks the invoice. Raises InvalidInput by field, NotPayable, ReferenceUsed.
    """
    reference = balances.required_reference(reference)
    if amount_minor <= 0:
        raise InvalidInput("amount", "must be more than zero", limit=0, code="out_of_range")
    if received_date > at.date():
        raise InvalidInput("received_date", "lies in the future")
    with transaction.atomic():
        invoice = locked(invoice)
        if earlier := _earlier(invoice, reference, amount_minor):
            return earlier
        taken_minor = min(amount_minor, _takes(invoice))
        payment = ReceivedPayment.objects.create(
            invoice=invoice,
            amount_minor=taken_minor,
            source=source,
            is_recovery=invoice.state == State.WRITTEN_OFF,
            reference=reference,
            received_date=received_date,
            recorded_by=by,
            recorded_at=at,
        )
        _post(payment, money, at=at)
        if amount_minor > taken_minor:
            balances.keep(
                invoice.organization_id,
                amount_minor=amount_minor - taken_minor,
                currency=invoice.currency,
                reference=f"{invoice.number}/{reference}"[:LONGEST_REFERENCE],
                received_date=received_date,
                by=by,
                at=at,
                payment=payment,
                money=money,
            )
            dunning_charges.settle_open(invoice.organization_id, invoice.currency, at=at)
        settle(invoice, by=by, at=at)
    return payment


def locked(invoice: Invoice) -> Invoice:
    """Read an invoice again and hold its row until the transaction ends."""
    return Invoice.objects.select_for_update(of=("self",)).select_related("organization").get(pk=invoice.pk)


def _earlier(invoice: Invoice, reference: str, amount_minor: int) -> ReceivedPayment | None:
    earlier = invoice.payments.filter(reference=reference).first()
    if earlier is None:
        return None
    beyond = earlier.balance_entries.filter(kind=BalanceEntry.Kind.ON_ACCOUNT).first()
    if earlier.amount_minor + (beyond.amount_minor if beyond else 0) != amount_minor:
        raise ReferenceUsed(earlier)
    return earlier


def _takes(invoice: Invoice) -> int:
    """Say how much an invoice takes: what is due, or what was lost of it. Raises NotPayable when that is nothing."""
    if not is_payable(invoice):
        raise NotPayable(invoice)
    due = due_of(invoice)
    takes_minor = due.lost_minor if invoice.state == State.WRITTEN_OFF else due.minor
    if takes_minor <= 0:
        raise NotPayable(invoice)
    return takes_minor


def _post(payment: ReceivedPayment, money: Account, *, at: datetime) -> None:
    invoice = payment.invoice
    who = {"organization_id": invoice.organization_id}
    legs = [Leg(money, payment.amount_minor, invoice.currency, **who)]
    if payment.is_recovery:
        legs += recovered_legs(payment)
    else:
        legs.append(Leg(chart.RECEIVABLE, -payment.amount_minor, invoice.currency, **who))
    what = "Recovered" if payment.is_recovery else "Payment"
    journal.post(
        Fact(
            key=f"payment:{payment.pk}",
            kind="billing.recovery" if payment.is_recovery else "billing.payment",
            memo=f"{what} {payment.reference} for {invoice}",
            legs=legs,
            period=running_month(at),
            invoice=invoice,
        ),
        at=at,
    )
    new = {
        "amount_minor": payment.amount_minor,
        "reference": payment.reference,
        "received": str(payment.received_date),
    }
    audit.record("billing.invoice.payment_received", subject=invoice, at=at, by=payment.recorded_by, new=new)


def receive_on_account(
    organization: Organization,
    *,
    amount_minor: int,
    currency: str,
    reference: str,
    received_date: date,
    by: Actor,
    at: datetime,
) -> BalanceEntry:
    """Record money that came in without an invoice; the same reference and amount again is the first entry.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput by field, ReferenceTaken.
    """
    access.require_platform(by, Role.FINANCE)
    if amount_minor <= 0:
        raise InvalidInput("amount", "must be more than zero", limit=0)
    reference = balances.required_reference(reference)
    if received_date > at.date():
        raise InvalidInput("received_date", "lies in the future")
    with transaction.atomic():
        entry = balances.keep(
            organization.pk,
            amount_minor=amount_minor,
            currency=currency,
            reference=reference,
            received_date=received_date,
            by=by.user,
            at=at,
        )
        dunning_charges.settle_open(organization.pk, currency, at=at)
    return entry


def use_balance(invoice: Invoice, *, by: Actor, at: datetime) -> ReceivedPayment | None:
    """Pay as much of an open invoice as the customer's balance has; None when that is nothing.

    Locks the invoice, then the balance. Raises NotAllowed for who is not of finance, NotPayable.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        invoice = locked(invoice)
        if not is_open(invoice):
            raise NotPayable(invoice)
        return _use_balance(invoice, by=by.user, at=at)


def use_balances(*, at: datetime) -> int:
    """Let open invoices use what their payers have, the oldest first; returns how many did. Safe to run twice."""
    kept = CustomerBalance.objects.filter(
        organization=OuterRef("organization"), currency=OuterRef("currency"), balance_minor__gt=0
    )
    waiting = Invoice.objects.filter(Exists(kept), kind=Invoice.Kind.INVOICE, state__in=OPEN_STATES)
    used = 0
    for invoice in waiting.order_by("due_at", "pk"):
        with transaction.atomic():
            held = locked(invoice)
            used += is_open(held) and _use_balance(held, by=None, at=at) is not None
    return used


def _use_balance(invoice: Invoice, *, by: User | None, at: datetime) -> ReceivedPayment | None:
    there_minor = balances.locked_balance(invoice.organization_id, invoice.currency)
    amount_minor = min(there_minor, due_of(invoice).minor)
    if amount_minor <= 0:
        return None
    number = invoice.payments.filter(source=Source.BALANCE).count() + 1
    payment = ReceivedPayment.objects.create(
        invoice=invoice,
        amount_minor=amount_minor,
        source=Source.BALANCE,
        reference=f"balance {number}",
        received_date=at.date(),
        recorded_by=by,
        recorded_at=at,
    )
    balances.draw(payment, at=at, by=by)
    _post(payment, chart.CUSTOMER_BALANCE, at=at)
    settle(invoice, by=by, at=at)
    return payment


def reverse_payment(
    payment: ReceivedPayment,
    *,
    amount_minor: int,
    reference: str,
    reason: str,
    at: datetime,
    by: User | None = None,
    money: Account = chart.BANK,
) -> PaymentReversal:
    """Take back a payment that bounced or was disputed; its invoice is due again for as much.

    What came in after a write-off goes back as a whole. The same reference again returns the first reversal. Locks the
    invoice. Raises InvalidInput by field, ReferenceUsed. What was paid out of a wallet or balance cannot bounce: it is
    given back by a credit note.
    """
    reference = balances.required_reference(reference)
    if payment.source not in FROM_OUTSIDE:
        message = "was paid with money that is here already; give it back by a credit note"
        raise InvalidInput("payment", message, code="not_from_outside")
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    with transaction.atomic():
        invoice = locked(payment.invoice)
        if earlier := payment.reversals.filter(reference=reference).first():
            if earlier.amount_minor != amount_minor:
                raise ReferenceUsed(payment)
            return earlier
        _check_reversal(payment, invoice, amount_minor)
        reversal = PaymentReversal.objects.create(
            payment=payment,
            invoice=invoice,
            amount_minor=amount_minor,
            reference=reference,
            reason=reason,
            recorded_by=by,
            recorded_at=at,
        )
        _post_reversal(reversal, money, at=at)
        settle(invoice, by=by, at=at)
    return reversal


def _check_reversal(payment: ReceivedPayment, invoice: Invoice, amount_minor: int) -> None:
    left_minor = payment.amount_minor - sum(payment.reversals.values_list("amount_minor", flat=True))
    least_minor = left_minor if payment.is_recovery else 1
    if not least_minor <= amount_minor <= left_minor:
        message = f"must be at most {format_money(left_minor, invoice.currency)}, what the payment brought"
        raise InvalidInput("amount", message, limit=left_minor, code="out_of_range")


def _post_reversal(reversal: PaymentReversal, money: Account, *, at: datetime) -> None:
    payment, invoice = reversal.payment, reversal.invoice
    who = {"organization_id": invoice.organization_id}
    corrected = invoice.entries.filter(idempotency_key=f"payment:{payment.pk}").first()
    legs = [Leg(money, -reversal.amount_minor, invoice.currency, **who)]
    if payment.is_recovery:
        legs += recovered_legs(payment, is_back=True)
    else:
        legs.append(Leg(chart.RECEIVABLE, reversal.amount_minor, invoice.currency, **who))
    journal.post(
        Fact(
            key=f"payment-reversal:{reversal.pk}",
            kind="billing.payment_reversal",
            memo=f"{reversal.reference}: {reversal.reason}",
            legs=legs,
            period=running_month(at),
            invoice=invoice,
            corrects=corrected,
        ),
        at=at,
    )
    new = {"amount_minor": reversal.amount_minor, "reference": reversal.reference}
    audit.record(
        "billing.invoice.payment_reversed",
        subject=invoice,
        at=at,
        by=reversal.recorded_by,
        new=new,
        reason=reversal.reason,
    )


def settle(invoice: Invoice, *, by: Actor | User | None, at: datetime) -> None:
    """Call an invoice paid when nothing of it is due any more, and due again when a payment went back.

    What it has too much becomes the payer's balance. The caller holds the invoice's lock.
    """
    person = by.user if isinstance(by, Actor) else by
    due_minor = due_of(invoice).minor
    if is_open(invoice) and due_minor <= 0:
        _move(invoice, State.PAID, "billing.invoice.paid", by=person, at=at)
    elif invoice.state == State.PAID and due_minor > 0:
        to = State.OVERDUE if invoice.due_at and invoice.due_at <= at else State.FINALIZED
        _move(invoice, to, "billing.invoice.due_again", by=person, at=at)
    if due_minor < 0:
        balances.move_surplus(invoice, at=at, by=person)
    suspending.review(invoice.organization_id, at=at, by=person)


def _move(invoice: Invoice, to: State, action: str, *, by: User | None, at: datetime) -> None:
    move(invoice, Invoice.TRANSITIONS, to=to, action=action, at=at, by=by)
