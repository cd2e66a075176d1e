"""Who issues invoices of the story, to whom, and at which tax: an Irish company, a hotel in Germany, a bookshop in Dublin."""

from collections.abc import Mapping
from decimal import Decimal
from random import Random

from billing import billing_profiles, legal_entities, tax_rates
from billing.models import TaxRate
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App, Plan, Subscription
from marketplace.config.demo.chronicle import dated_id
from marketplace.config.demo.people import FOUNDED_DAYS_AGO, Cast
from marketplace.config.demo.timeline import Timeline

SECOND_OF_FINANCE = "ines.moreau@demo.example"
# Numbers are made up; their check digits are right.
ISSUER = {
    "name": "Halfpenny Ireland Ltd.",
    "street": "14 Harcourt Row",
    "postal_code": "D02 HP14",
    "city": "Dublin",
    "country": "IE",
    "vat_id": "IE3628914D",
    "registration": "IE 628914",
    "email": "billing@halfpenny.example",
    "phone": "+353 1 555 0142",
    "bank_name": "Bank of the Liffey",
    "iban": "IE29AIBK93115212345678",
    "bic": "AIBKIE2D",
}
# Organization and what its finance said.
PROFILES = {
    "blue-harbor": {
        "legal_name": "Blue Harbor Hotels GmbH",
        "street": "Am Sandtorkai 12",
        "postal_code": "20457",
        "city": "Hamburg",
        "country": "DE",
        "vat_id": "DE123456788",
        "language": "de",
        "emails": ["rechnung@blueharbor.example"],
        "purchase_order": "BH-2026-0117",
    },
    "liffey-books": {
        "legal_name": "Liffey Books Ltd.",
        "street": "3 Bachelors Walk",
        "postal_code": "D01 LB33",
        "city": "Dublin",
        "country": "IE",
        "language": "en",
        "emails": ["aoife.byrne@liffeybooks.example", "accounts@liffeybooks.example"],
    },
}
# Country, category, percent, reason.
RATES = (
    ("IE", "standard", "23", "VAT Consolidation Act 2010, section 46(1)(a)."),
    ("IE", "reduced", "13.5", "VAT Consolidation Act 2010, schedule 3."),
    ("DE", "standard", "19", "UStG § 12 Abs. 1."),
    ("FR", "standard", "20", "CGI, article 278."),
)


def found(cast: Cast, timeline: Timeline) -> None:
    """Set up who issues, the rates, and the profiles of two customers."""
    at = timeline.ago(FOUNDED_DAYS_AGO - 1)
    finance, second = actor_for(cast.person("finance")), actor_for(cast.people[SECOND_OF_FINANCE])
    legal_entities.set_up(code="ireland", number_prefix="", facts=ISSUER, by=finance, at=at, starts_at=at)
    for country, category, percent, reason in RATES:
        rate = tax_rates.propose(
            country=country,
            category=category,
            percent=Decimal(percent),
            starts_at=at,
            reason=reason,
            by=finance,
            at=at,
        )
        tax_rates.approve(rate, by=second, at=at)
    for slug, facts in PROFILES.items():
        billing_profiles.set_profile(cast.organizations[slug], facts=facts, by=finance, at=at)


def subscribe(cast: Cast, apps: Mapping[str, App], timeline: Timeline) -> Subscription:
    """Let the bookshop subscribe to a translator that it has not called yet: its invoices are the fee and its tax."""
    starts_at = timeline.ago(98, 9)
    team = cast.teams["booksellers"]
    return Subscription.objects.create(
        id=dated_id(starts_at, Random(f"{timeline.seed}:billing-parties")),
        app=apps["translator"],
        plan=Plan.objects.get(app=apps["translator"], code="standard", is_offered=True),
        team=team,
        cost_center=team.cost_center,
        environment="production",
        starts_at=starts_at,
        created_by=cast.people["aoife.byrne@liffeybooks.example"],
    )


def propose(cast: Cast, timeline: Timeline) -> TaxRate:
    """Let a rate wait for a second person."""
    return tax_rates.propose(
        country="DE",
        category="reduced",
        percent=Decimal(7),
        starts_at=timeline.ago(30, 0),
        reason="UStG § 12 Abs. 2: electronic publications.",
        by=actor_for(cast.people[SECOND_OF_FINANCE]),
        at=timeline.ago(2, 15),
    )
