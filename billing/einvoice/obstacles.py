"""Why something cannot be invoiced electronically: what EN 16931 needs and nobody has said yet.

It surfaces on profiles, on the preview of a month and on invoices. It keeps nobody from being billed: the PDF is there
in any case, then without the data inside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from billing import parties
from billing.billing_profiles import Buyer
from billing.countries import EU
from billing.models import Invoice
from billing.parties import Parties, Register
from billing.tax_treatment import Place
from marketplace.accounts.models import Organization
from marketplace.core.money import minor_exponent

MOST_DECIMALS = 2


@dataclass(frozen=True)
class Obstacle:
    """One thing that is missing or wrong: whose it is (``seller``, ``buyer``, ``document``), and what."""

    whose: str
    field: str
    message: str

    def __str__(self) -> str:
        return self.message


def of_organization(organization: Organization, *, register: Register) -> list[Obstacle]:
    """Say what keeps invoices of an organization from being electronic, as things stand."""
    found = parties.parties_of(organization, register=register)
    return [*_of_parties(found), *_of_currency(organization.currency)]


def _of_parties(found: Parties) -> Iterable[Obstacle]:
    buyer, seller = found.buyer, found.seller.facts
    yield from _of_seller(seller, tax_code=found.treatment.code)
    address = {
        "street": buyer.street,
        "postal_code": buyer.postal_code,
        "city": buyer.city,
        "country": buyer.country,
    }
    yield from _of_buyer(address)
    yield from _of_vat_id(buyer)


def _of_vat_id(buyer: Buyer) -> Iterable[Obstacle]:
    if buyer.vat_id and buyer.country in EU and not Place(buyer.country, buyer.vat_id).has_valid_vat_id:
        message = f"the VAT number {buyer.vat_id} is wrong, so tax is charged as to a private person"
        yield Obstacle("buyer", "vat_id", message)


def of_invoice(invoice: Invoice) -> list[Obstacle]:
    """Say what keeps an invoice from being electronic, by what is frozen on it."""
    payer = invoice.payer
    if invoice.kind != Invoice.Kind.INVOICE:
        return [Obstacle("document", "kind", "a statement is settled inside of its organization")]
    tax_code = payer.get("tax", {}).get("code", "")
    return [
        *_of_seller(payer.get("seller", {}), tax_code=tax_code),
        *_of_buyer(payer.get("buyer", {})),
        *_of_currency(invoice.currency),
    ]


def _of_seller(seller: Mapping[str, Any], *, tax_code: str) -> Iterable[Obstacle]:
    for field, words in (("country", "country"), ("city", "city"), ("postal_code", "postal code")):
        if not seller.get(field):
            yield Obstacle("seller", field, f"the legal entity that issues has no {words}")
    if tax_code == "O" and not seller.get("registration"):
        # Where no tax applies, no VAT number may stand (BR-O-02), so something else has to identify the seller (BR-CO-26).
        yield Obstacle("seller", "registration", "the legal entity that issues has no registration number")


def _of_buyer(buyer: Mapping[str, Any]) -> Iterable[Obstacle]:
    for field, words in (("country", "country"), ("city", "city")):
        if not buyer.get(field):
            yield Obstacle("buyer", field, f"the billing profile has no {words}")


def _of_currency(currency: str) -> Iterable[Obstacle]:
    if minor_exponent(currency) > MOST_DECIMALS:
        yield Obstacle(
            "document", "currency", f"amounts in {currency} have three decimals, and the norm allows two"
        )
