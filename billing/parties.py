"""Who issues a document, to whom, and how it is taxed: worked out of a draft, and frozen onto it.

What is frozen stands in ``Invoice.payer``, which no longer changes once the invoice is finalized. Every document is
made of that, so that it is the same one in ten years, whatever profiles and entities say by then.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing import legal_entities, tax_rates
from billing.billing_profiles import Buyer, buyer_of
from billing.countries import name_of
from billing.legal_entities import Seller, Sellers
from billing.models import AppTaxCategory, BillingProfile, ExemptionCertificate, Invoice, InvoiceLine
from billing.tax import TaxableLine, Taxes, tax_lines
from billing.tax_treatment import Place, Rates, Treatment, percent_of, treatment
from billing.terms import Terms
from marketplace.accounts.models import Organization

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Register:
    """Everything that parties and tax are worked out of, read once for any number of documents."""

    at: datetime
    sellers: Sellers
    profiles: Mapping[int, BillingProfile]
    exemptions: Mapping[int, Sequence[ExemptionCertificate]]
    rates: Rates
    categories: Mapping[int, str]

    def buyer(self, organization: Organization) -> Buyer:
        return buyer_of(organization, self.profiles.get(organization.pk))

    def exempt_because(self, organization_id: int) -> str:
        """Give the reason for which an organization pays no tax at the moment; empty without one."""
        today = self.at.date()
        for one in self.exemptions.get(organization_id, ()):
            if one.starts_date <= today <= one.ends_date:
                return f"{one.reason} ({one.number})"
        return ""


@dataclass(frozen=True)
class Parties:
    """Who issues a document to whom, and how its lines are taxed."""

    seller: Seller
    buyer: Buyer
    treatment: Treatment


def read(*, at: datetime, terms: Terms, organizations: Iterable[int] | None = None) -> Register:
    """Read the register as of a moment, of all organizations or of some (five queries, however many there are)."""
    profiles = BillingProfile.objects.all()
    certificates = ExemptionCertificate.objects.filter(ends_date__gte=at.date())
    if organizations is not None:
        ids = list(organizations)
        profiles, certificates = (
            profiles.filter(organization__in=ids),
            certificates.filter(organization__in=ids),
        )
    exemptions: dict[int, list[ExemptionCertificate]] = defaultdict(list)
    for one in certificates.order_by("starts_date", "pk"):
        exemptions[one.organization_id].append(one)
    return Register(
        at=at,
        sellers=legal_entities.sellers(at=at, house_name=terms.legal_entity),
        profiles={profile.organization_id: profile for profile in profiles},
        exemptions=exemptions,
        rates=tax_rates.approved_rates(),
        categories=dict(AppTaxCategory.objects.values_list("app", "category")),
    )


def parties_of(organization: Organization, *, register: Register) -> Parties:
    """Say who issues to an organization, and how that is taxed."""
    buyer = register.buyer(organization)
    seller = register.sellers.of(buyer.entity_id)
    treated = treatment(
        Place(seller.facts.get("country", ""), seller.facts.get("vat_id", "")),
        Place(buyer.country, buyer.vat_id),
        exempt_because=register.exempt_because(organization.pk),
    )
    return Parties(seller, buyer, treated)


def freeze(invoice: Invoice, *, terms: Terms, at: datetime, register: Register | None = None) -> None:
    """Write parties and tax of now onto a saved draft and its lines; with nothing new to say, nothing is written.

    Raises NoTaxRate.
    """
    register = register or read(at=at, terms=terms, organizations=[invoice.organization_id])
    before = (invoice.payer, invoice.tax_minor, invoice.total_minor)
    changed = put_on(invoice, list(invoice.lines.order_by("position")), terms=terms, register=register)
    if changed:
        InvoiceLine.objects.bulk_update(changed, ["tax_percent", "tax_minor"], batch_size=1_000)
    if before != (invoice.payer, invoice.tax_minor, invoice.total_minor):
        invoice.save(update_fields=["payer", "tax_minor", "total_minor"])


def put_on(
    invoice: Invoice, lines: Sequence[InvoiceLine], *, terms: Terms, register: Register
) -> list[InvoiceLine]:
    """Set parties and tax of a draft and its lines, and save nothing; the lines that changed. Raises NoTaxRate.

    Statements are settled inside of an organization and bear no tax.
    """
    parties = parties_of(invoice.organization, register=register)
    taxes: Taxes | None = None
    changed: list[InvoiceLine] = []
    if invoice.kind == Invoice.Kind.INVOICE:
        taxes, changed = _tax(lines, invoice, parties, register)
    invoice.payer = _frozen(invoice, parties, taxes, terms)
    invoice.tax_minor = taxes.total_minor if taxes else 0
    invoice.total_minor = invoice.subtotal_minor + invoice.tax_minor
    return changed


def _tax(
    lines: Sequence[InvoiceLine], invoice: Invoice, parties: Parties, register: Register
) -> tuple[Taxes, list[InvoiceLine]]:
    """Set each line's rate and part of the tax; give the sums by rate, and the lines that changed."""
    percents = [_percent(line, parties, register) for line in lines]
    taxable = [TaxableLine(line.amount_minor, percent) for line, percent in zip(lines, percents, strict=True)]
    taxes = tax_lines(taxable, currency=invoice.currency)
    changed = []
    for line, percent, tax_minor in zip(lines, percents, taxes.line_taxes_minor, strict=True):
        if (line.tax_percent, line.tax_minor) != (percent, tax_minor):
            line.tax_percent, line.tax_minor = percent, tax_minor
            changed.append(line)
    return taxes, changed


def _percent(line: InvoiceLine, parties: Parties, register: Register) -> Decimal:
    """Give the rate of a line, which is that of the last moment of its service: a late line of May has May's rate."""
    category = register.categories.get(line.app_id, "") if line.app_id else ""
    at = line.service_ends_at - _MOMENT
    return percent_of(parties.treatment, category, rates=register.rates, at=at)


def _frozen(invoice: Invoice, parties: Parties, taxes: Taxes | None, terms: Terms) -> dict[str, Any]:
    buyer, seller, center = parties.buyer, parties.seller, invoice.cost_center
    days = terms.due_after.days if buyer.payment_days is None else buyer.payment_days
    payer: dict[str, Any] = {
        "issuer": seller.facts["name"],
        "name": buyer.name,
        "address": "\n".join(address_lines(buyer, language=buyer.language)),
        "vat_id": buyer.vat_id,
        "language": buyer.language,
        "purchase_order": buyer.purchase_order,
        "buyer_reference": buyer.buyer_reference,
        "payment_days": days,
        "emails": list(buyer.emails),
        "seller": {**seller.facts, "number_prefix": seller.number_prefix},
        "buyer": {field: getattr(buyer, field) for field in ("street", "postal_code", "city", "country")},
    }
    if taxes is not None:
        payer["tax"] = {
            "code": parties.treatment.code,
            "reason": parties.treatment.reason,
            "rates": [
                {
                    "percent": f"{rate.rate_percent.normalize():f}",
                    "base_minor": rate.base_minor,
                    "tax_minor": rate.tax_minor,
                }
                for rate in taxes.rates
            ],
        }
    if center is not None:
        payer |= {"cost_center": center.code, "cost_center_name": center.name}
    return payer


def address_lines(buyer: Buyer, *, language: str) -> list[str]:
    """Write an address as it is printed; one without parts as it was typed."""
    if not (buyer.street or buyer.city or buyer.country):
        return buyer.address_text.splitlines()
    place = " ".join(part for part in (buyer.postal_code, buyer.city) if part)
    country = name_of(buyer.country, language=language) if buyer.country else ""
    return [line for line in (*buyer.street.splitlines(), place, country) if line]


def number_prefix(invoice: Invoice) -> str:
    """Give what the number series of the entity that issues begin with; empty for the first one."""
    seller: Mapping[str, str] = invoice.payer.get("seller", {})
    return seller.get("number_prefix", "")


def due_after(invoice: Invoice, *, terms: Terms) -> timedelta:
    """Say how long the payer of a frozen draft has."""
    return timedelta(days=invoice.payer.get("payment_days", terms.due_after.days))
