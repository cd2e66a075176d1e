"""Answers about customers: what each owes and has, and their running account, as pages and files show it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import CharField, DateField, F, Max, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast

from billing.customer_account import Movement
from billing.dues import OPEN_STATES, with_due
from billing.dunning_models import DunningCharge
from billing.models import (
    BalanceEntry,
    CreditNote,
    CustomerBalance,
    Invoice,
    PaymentReversal,
    ReceivedPayment,
    WriteOff,
)
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization


@dataclass(frozen=True)
class CustomerRow:
    """A customer in a currency: what waits for money, what of it is late and since when, and their balance."""

    slug: str
    name: str
    currency: str
    open_minor: int
    overdue_minor: int
    oldest_due_at: datetime | None
    balance_minor: int


def customers(actor: Actor) -> QuerySet[Organization]:
    """Return organizations whose account a person may see: finance its own, the marketplace's finance all."""
    found = Organization.objects.select_related("dunning_member__group")
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(pk__in=actor.organizations_as(Role.FINANCE))


def rows(open_invoices: Iterable[Any], *, at: datetime) -> list[CustomerRow]:
    """Sum open invoices (with what is due) by customer and currency, most overdue first; with balances (one query)."""
    found: dict[tuple[str, str, str, int], list[Any]] = defaultdict(list)
    for one in open_invoices:
        found[one.organization.slug, one.organization.name, one.currency, one.organization_id].append(one)
    balances = {
        (one.organization_id, one.currency): one.balance_minor
        for one in CustomerBalance.objects.filter(organization__in={key[3] for key in found})
    }
    made = [
        CustomerRow(
            slug,
            name,
            currency,
            sum(one.due_minor for one in invoices),
            sum(one.due_minor for one in invoices if one.due_at <= at),
            min(one.due_at for one in invoices),
            balances.get((organization_id, currency), 0),
        )
        for (slug, name, currency, organization_id), invoices in found.items()
    ]
    return sorted(made, key=lambda row: (-row.overdue_minor, -row.open_minor, row.slug))


def documents(organization: Organization) -> Any:
    """Return a customer's invoices with what is due, newest first."""
    issued = Invoice.objects.filter(organization=organization, kind=Invoice.Kind.INVOICE)
    return with_due(issued.exclude(state=Invoice.State.DRAFT)).order_by("-issued_at", "-number")


def overdue_numbers(organization: Organization) -> list[str]:
    """List the numbers of a customer's overdue invoices, the oldest first (one query)."""
    late = Invoice.objects.filter(organization=organization, state=Invoice.State.OVERDUE).order_by(
        "due_at", "number"
    )
    return [str(number) for number in late.values_list("number", flat=True)]


@dataclass(frozen=True)
class Standing:
    """What a customer owes and has in one currency."""

    currency: str
    due_minor: int
    overdue_minor: int
    charges_minor: int
    balance_minor: int


def standings(organization: Organization, *, at: datetime) -> list[Standing]:
    """Sum what a customer owes and has by currency (three queries)."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    waiting = Invoice.objects.filter(
        organization=organization, kind=Invoice.Kind.INVOICE, state__in=OPEN_STATES
    )
    for one in with_due(waiting):
        sums[one.currency]["due"] += one.due_minor
        sums[one.currency]["overdue"] += one.due_minor if one.due_at and one.due_at <= at else 0
    charged = DunningCharge.objects.filter(organization=organization, state=DunningCharge.State.OPEN)
    for currency, total in charged.values_list("currency").annotate(total=Sum("amount_minor")).order_by():
        sums[currency]["charges"] += int(total)
    for kept in CustomerBalance.objects.filter(organization=organization):
        sums[kept.currency]["balance"] += kept.balance_minor
    return [
        Standing(currency, one["due"], one["overdue"], one["charges"], one["balance"])
        for currency, one in sorted(sums.items())
    ]


def movements(organization: Organization) -> list[Movement]:
    """Read everything that moved a customer's account, oldest first (one query).

    What only goes from their balance to an invoice is no movement: they owe as much as before.
    """
    invoices = Invoice.objects.filter(organization=organization, kind=Invoice.Kind.INVOICE)
    invoices = invoices.exclude(state=Invoice.State.DRAFT)
    notes = CreditNote.objects.filter(
        invoice__organization=organization, invoice__kind=Invoice.Kind.INVOICE, state=CreditNote.State.ISSUED
    )
    payments = ReceivedPayment.objects.filter(invoice__organization=organization)
    payments = payments.exclude(source=ReceivedPayment.Source.BALANCE)
    back = PaymentReversal.objects.filter(invoice__organization=organization)
    lost = WriteOff.objects.filter(invoice__organization=organization, state=WriteOff.State.POSTED)
    charges = DunningCharge.objects.filter(organization=organization)
    entries = BalanceEntry.objects.filter(organization=organization)
    entries = entries.filter(kind__in=[BalanceEntry.Kind.ON_ACCOUNT, BalanceEntry.Kind.PAID_BACK])
    found = _part(
        invoices, "invoice", "issued_at", F("number"), F("number"), F("total_minor"), F("currency")
    ).union(
        _part(notes, "credit_note", "issued_at", F("number"), *_of_invoice("total_minor", is_less=True)),
        _part(
            payments, "payment", "received_date", F("reference"), *_of_invoice("amount_minor", is_less=True)
        ),
        _part(
            payments.filter(is_recovery=True),
            "recovered",
            "received_date",
            F("reference"),
            *_of_invoice("amount_minor"),
        ),
        _part(back, "reversal", "recorded_at", F("reference"), *_of_invoice("amount_minor")),
        _part(
            back.filter(payment__is_recovery=True),
            "recovered_back",
            "recorded_at",
            F("reference"),
            *_of_invoice("amount_minor", is_less=True),
        ),
        _part(
            lost, "write_off", "posted_at", F("invoice__number"), *_of_invoice("amount_minor", is_less=True)
        ),
        _part(charges, "charge", "made_at", F("kind"), *_of_notice()),
        _part(charges.filter(state="waived"), "waived", "ended_at", F("kind"), *_of_notice(is_less=True)),
        _part(
            entries, "balance", "happened_on", F("reference"), Value(""), -F("amount_minor"), F("currency")
        ),
        all=True,
    )
    order = {kind: place for place, kind in enumerate(Movement.ORDER)}
    made = [Movement(*row) for row in found]
    return sorted(made, key=lambda one: (one.on, order[one.kind], one.reference))


def _part(
    rows: QuerySet[Any], kind: str, on: str, reference: Any, number: Any, amount: Any, currency: Any
) -> Any:
    return rows.order_by().values_list(
        Cast(F(on), DateField()),
        Value(kind, output_field=CharField()),
        Cast(reference, CharField()),
        Cast(number, CharField()),
        amount + Value(0),
        currency,
    )


def _of_invoice(amount: str, *, is_less: bool = False) -> tuple[Any, Any, Any]:
    return F("invoice__number"), -F(amount) if is_less else F(amount), F("invoice__currency")


def _of_notice(*, is_less: bool = False) -> tuple[Any, Any, Any]:
    amount = -F("amount_minor") if is_less else F("amount_minor")
    return F("notice__invoice__number"), amount, F("currency")


def last_payment_on(organization: Organization) -> date | None:
    """Tell when a customer last paid something."""
    found: date | None = ReceivedPayment.objects.filter(
        ~Q(source=ReceivedPayment.Source.BALANCE), invoice__organization=organization
    ).aggregate(last=Max("received_date"))["last"]
    return found
