"""A seller in Germany, buyers in several countries, and the rates that apply between them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing import billing_profiles, legal_entities, tax_rates
from billing.models import BillingProfile, LegalEntity, TaxRate
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Organization, User
from tests import factories
from tests.conftest import Cast

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
# Made up; their check digits are right.
GERMAN_VAT_ID = "DE136695976"
FRENCH_VAT_ID = "FR23334175221"
AUSTRIAN_VAT_ID = "ATU13585627"
SELLER = {
    "name": "Halfpenny Europe GmbH",
    "street": "Torstraße 1",
    "postal_code": "10119",
    "city": "Berlin",
    "country": "DE",
    "tax_number": "30/123/45678",
    "vat_id": GERMAN_VAT_ID,
    "registration": "HRB 123456",
    "email": "billing@halfpenny.example",
    "phone": "+49 30 1234567",
    "bank_name": "Beispielbank",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
}
BUYER = {
    "legal_name": "Blue Harbor Hotels GmbH",
    "street": "Am Sandtorkai 12",
    "postal_code": "20457",
    "city": "Hamburg",
    "country": "DE",
    "emails": ["rechnung@blueharbor.example"],
}


def set_up_seller(cast: Cast, **facts: str) -> LegalEntity:
    return legal_entities.set_up(
        code="europe",
        number_prefix="",
        facts=SELLER | facts,
        by=actor_for(cast.finance),
        at=LONG_AGO,
        starts_at=LONG_AGO,
    )


def approve_rate(
    cast: Cast, country: str, percent: str, *, category: str = "standard", starts_at: datetime = LONG_AGO
) -> TaxRate:
    rate = tax_rates.propose(
        country=country,
        category=category,
        percent=Decimal(percent),
        starts_at=starts_at,
        reason="The law.",
        by=actor_for(cast.finance),
        at=LONG_AGO,
    )
    tax_rates.approve(rate, by=actor_for(second_of_finance(cast)), at=LONG_AGO)
    return rate


def second_of_finance(cast: Cast) -> User:
    person = User.objects.filter(email="second@company.example").first()
    if person is None:
        person = factories.make_user(email="second@company.example")
        factories.join(person, None, "finance", organization=cast.company)
    return person


def set_profile(organization: Organization, cast: Cast, **facts: Any) -> BillingProfile:
    return billing_profiles.set_profile(
        organization, facts=BUYER | facts, by=actor_for(cast.finance), at=LONG_AGO
    )


def buyer(cast: Cast, **facts: Any) -> Organization:
    """An organization that is billed by invoice, with a profile."""
    organization = factories.make_organization(billing="invoice")
    set_profile(organization, cast, **facts)
    return organization
