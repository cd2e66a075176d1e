"""Balances of customers: what came in beyond what was due is kept, used for invoices, or paid back."""

from datetime import date, datetime

from django.db import transaction

from billing.dues import due_of, is_open
from billing.ledger import chart, journal
from billing.ledger.chart import Account
from billing.ledger.journal import Fact, Leg
from billing.models import BalanceEntry, CustomerBalance, Invoice, ReceivedPayment
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization, User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money

Kind = BalanceEntry.Kind
LONGEST_REFERENCE = 100


class ReferenceTaken(Conflict):
    """A reference names one movement of a customer's money, and this is another."""

    code = "reference_used"

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"The reference {reference} was recorded for this customer with another amount.")


def balance_of(organization_id: int, currency: str) -> int:
    """Read what a customer has in a currency, in minor units (one query)."""
    found = CustomerBalance.objects.filter(organization=organization_id, currency=currency)
    return found.values_list("balance_minor", flat=True).first() or 0


def locked_balance(organization_id: int, currency: str) -> int:
    """Read a balance and hold its row until the transaction ends."""
    found = CustomerBalance.objects.select_for_update().filter(
        organization=organization_id, currency=currency
    )
    return found.values_list("balance_minor", flat=True).first() or 0


def required_reference(reference: str) -> str:
    """Return a reference without spaces around it. Raises InvalidInput when there is none."""
    reference = reference.strip()
    if not 0 < len(reference) <= LONGEST_REFERENCE:
        message = f"is needed, at most {LONGEST_REFERENCE} characters"
        raise InvalidInput("reference", message, limit=LONGEST_REFERENCE)
    return reference


def keep(
    organization_id: int,
    *,
    amount_minor: int,
    currency: str,
    reference: str,
    received_date: date,
    at: datetime,
    by: User | None = None,
    payment: ReceivedPayment | None = None,
    money: Account = chart.BANK,
) -> BalanceEntry:
    """Keep money that nothing asked for as the customer's balance; ``money`` is the account that it came into."""
    with transaction.atomic():
        if earlier := _same(organization_id, currency, Kind.ON_ACCOUNT, reference, amount_minor):
            return earlier
        entry = BalanceEntry.objects.create(
            organization_id=organization_id,
            currency=currency,
            kind=Kind.ON_ACCOUNT,
            amount_minor=amount_minor,
            payment=payment,
            reference=reference,
            happened_on=received_date,
            recorded_by=by,
            recorded_at=at,
        )
        post(entry, money, f"On account: {reference}", at=at)
    return entry


def _same(
    organization_id: int, currency: str, kind: str, reference: str, amount_minor: int
) -> BalanceEntry | None:
    same = BalanceEntry.objects.filter(
        organization=organization_id, currency=currency, kind=kind, reference=reference
    )
    earlier = same.first()
    if earlier and earlier.amount_minor != amount_minor:
        raise ReferenceTaken(reference)
    return earlier


def post(entry: BalanceEntry, other: Account, memo: str, *, at: datetime) -> None:
    """Post a movement: the balance is a debt of the house, so what raises it is a credit."""
    who = {"organization_id": entry.organization_id}
    journal.post(
        Fact(
            key=f"balance:{entry.pk}",
            kind=f"billing.balance_{entry.kind}",
            memo=memo,
            legs=[
                Leg(other, entry.amount_minor, entry.currency, **who),
                Leg(chart.CUSTOMER_BALANCE, -entry.amount_minor, entry.currency, **who),
            ],
            period=running_month(at),
            invoice=entry.invoice,
        ),
        at=at,
    )
    audit.record(
        f"billing.balance.{entry.kind}",
        subject=entry.organization,
        at=at,
        by=entry.recorded_by,
        new={
            "amount_minor": entry.amount_minor,
            "currency": entry.currency,
            "reference": entry.reference,
        },
    )


def move_surplus(invoice: Invoice, *, at: datetime, by: User | None = None) -> BalanceEntry | None:
    """Give the customer what an invoice was paid too much, because something of it was given back later.

    The caller holds the invoice's lock.
    """
    surplus_minor = -due_of(invoice).minor
    if invoice.kind != Invoice.Kind.INVOICE or surplus_minor <= 0:
        return None
    number = invoice.balance_entries.filter(kind=Kind.SURPLUS).count() + 1
    entry = BalanceEntry.objects.create(
        organization_id=invoice.organization_id,
        currency=invoice.currency,
        kind=Kind.SURPLUS,
        amount_minor=surplus_minor,
        invoice=invoice,
        reference=f"{invoice.number}/{number}",
        happened_on=at.date(),
        recorded_by=by,
        recorded_at=at,
    )
    post(entry, chart.RECEIVABLE, f"Paid and given back of {invoice}", at=at)
    return entry


def draw(payment: ReceivedPayment, *, at: datetime, by: User | None = None) -> BalanceEntry:
    """Take a payment that comes from the balance out of it. The books have it with the payment."""
    invoice = payment.invoice
    return BalanceEntry.objects.create(
        organization_id=invoice.organization_id,
        currency=invoice.currency,
        kind=Kind.USED,
        amount_minor=-payment.amount_minor,
        payment=payment,
        reference=f"{invoice.number}/{payment.reference}"[:LONGEST_REFERENCE],
        happened_on=payment.received_date,
        recorded_by=by,
        recorded_at=at,
    )


def pay_back(
    organization: Organization,
    *,
    amount_minor: int,
    currency: str,
    reference: str,
    by: Actor,
    at: datetime,
    money: Account = chart.BANK,
) -> BalanceEntry:
    """Record that money of a balance was paid back to the customer; the same reference again is the first entry.

    Raises NotAllowed, InvalidInput by field (more than there is), ReferenceTaken.
    """
    access.require_platform(by, Role.FINANCE)
    reference = required_reference(reference)
    with transaction.atomic():
        there_minor = locked_balance(organization.pk, currency)
        if earlier := _same(organization.pk, currency, Kind.PAID_BACK, reference, -amount_minor):
            return earlier
        if not 0 < amount_minor <= there_minor:
            message = f"must be more than zero and at most {format_money(there_minor, currency)}, the balance"
            raise InvalidInput("amount", message, limit=there_minor, code="out_of_range")
        entry = BalanceEntry.objects.create(
            organization=organization,
            currency=currency,
            kind=Kind.PAID_BACK,
            amount_minor=-amount_minor,
            reference=reference,
            happened_on=at.date(),
            recorded_by=by.user,
            recorded_at=at,
        )
        post(entry, money, f"Paid back to {organization}: {reference}", at=at)
    return entry


def usable_for(invoice: Invoice) -> int:
    """Say how much of the payer's balance an invoice could use, in minor units."""
    if not is_open(invoice):
        return 0
    return max(0, min(balance_of(invoice.organization_id, invoice.currency), due_of(invoice).minor))
