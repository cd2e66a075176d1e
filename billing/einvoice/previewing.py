"""What of a month's bills could not be invoiced electronically, or not at all, before anything is issued."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from billing import invoicing, parties
from billing.drafting import Bill
from billing.einvoice import obstacles
from billing.models import BillingPeriod, Invoice
from billing.tax_treatment import NoTaxRate
from billing.terms import Terms
from marketplace.accounts.models import Organization


@dataclass(frozen=True)
class Troubled:
    """An organization whose invoice lacks something; ``is_parked`` when there is no rate to tax it at."""

    organization: Organization
    messages: tuple[str, ...]
    is_parked: bool = False


def troubled(bills: Iterable[Bill], *, terms: Terms, at: datetime) -> list[Troubled]:
    """Say what is missing for the invoices among bills that could be made (five queries)."""
    invoices = [bill for bill in bills if bill.kind == Invoice.Kind.INVOICE]
    register = parties.read(at=at, terms=terms, organizations={bill.organization.pk for bill in invoices})
    found = []
    for bill in invoices:
        try:
            made, _ = invoicing.build(bill, period=BillingPeriod(), terms=terms, at=at, register=register)
        except NoTaxRate as error:
            found.append(Troubled(bill.organization, (error.message,), is_parked=True))
            continue
        missing = [str(one) for one in obstacles.of_invoice(made)]
        missing += [
            str(one)
            for one in obstacles.of_organization(bill.organization, register=register)
            if one.field == "vat_id"
        ]
        if missing:
            found.append(Troubled(bill.organization, tuple(missing)))
    return found
