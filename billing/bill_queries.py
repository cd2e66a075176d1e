"""Answers for the pages of who pays: what of an invoice came in, where to send money, what is coming."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from billing.drafting import work_out
from billing.models import Invoice
from billing.notified import payers_people
from billing.terms import Terms
from marketplace.accounts.models import Organization
from marketplace.core.periods import month_of
from quotas.payment_stop_models import PaymentStop

BANK_FIELDS = (("bank_name", "Bank"), ("iban", "IBAN"), ("bic", "BIC"))


@dataclass(frozen=True)
class Paid:
    """What came in for an invoice, or below zero went back."""

    on: date
    how: str
    reference: str
    amount_minor: int
    recorded_by: str


@dataclass(frozen=True)
class SoFar:
    """What a payer's running month would bill as things stand."""

    organization: str
    month: str
    currency: str
    subtotal_minor: int
    lines: int


def payments(invoice: Invoice) -> list[Paid]:
    """List what came in and went back, oldest first (two queries)."""
    came = invoice.payments.select_related("recorded_by")
    found = [
        Paid(
            one.received_date,
            one.get_source_display(),
            one.reference,
            one.amount_minor,
            str(one.recorded_by or ""),
        )
        for one in came
    ]
    for back in invoice.payment_reversals.select_related("recorded_by"):
        who = str(back.recorded_by or "")
        found.append(Paid(back.recorded_at.date(), back.reason, back.reference, -back.amount_minor, who))
    return sorted(found, key=lambda one: (one.on, one.reference))


def bank_details(invoice: Invoice) -> list[tuple[str, str]]:
    """Say where to send money, as it was printed on the invoice; nothing when its legal entity names no account."""
    seller: Mapping[str, str] = invoice.payer.get("seller", {})
    found = [(label, seller[field]) for field, label in BANK_FIELDS if seller.get(field)]
    if not found:
        return []
    holder = seller.get("name") or invoice.payer.get("issuer", "")
    return [("Account holder", holder), *found, ("Reference", str(invoice.number))]


def who_is_told(invoice: Invoice) -> list[str]:
    """List the people who get invoices and reminders (one query)."""
    return [f"{person} <{person.email}>" for person in payers_people(invoice).order_by("email")]


@dataclass(frozen=True)
class Paying:
    """An organization that gets invoices, and why its calls are stopped, if they are."""

    slug: str
    name: str
    stop: PaymentStop | None


def paying_organizations(ids: Collection[int]) -> list[Paying]:
    """List the organizations among these that get invoices, by name (two queries)."""
    found = list(
        Organization.objects.filter(pk__in=ids, billing=Organization.Billing.INVOICE).order_by("name")
    )
    stops = PaymentStop.objects.filter(organization__in=found, ended_at=None) if found else []
    stopped = {one.organization_id: one for one in stops}
    return [Paying(one.slug, one.name, stopped.get(one.pk)) for one in found]


def so_far(ids: Collection[int], *, at: datetime, terms: Terms) -> list[SoFar]:
    """Work out what the running month would bill these organizations, by the function that will bill it."""
    if not ids:
        return []
    month = month_of(at)
    worked = work_out(month, default_share=terms.default_share, organizations=ids)
    return [
        SoFar(bill.organization.name, month.name, bill.currency, bill.subtotal_minor, len(bill.lines))
        for bill in worked.bills
        if bill.cost_center is None
    ]
