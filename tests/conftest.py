"""The fixed cast: five people of one company, and a stranger from another."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from hypothesis import settings

from marketplace.accounts.models import CostCenter, Organization, Team, User
from marketplace.gateway.offers import offer_book
from marketplace.gateway.routing.book import route_book
from metering import attribution, partitions
from metering.ratecards import price_book
from quotas import counters, refusals, served
from quotas.book import limit_book
from quotas.lifts import lift_book
from tests import factories

# No deadlines: a busy machine is not a broken law. HYPOTHESIS_PROFILE=long searches ten times as far.
settings.register_profile("short", max_examples=60, deadline=None)
settings.register_profile("long", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


# What takes minutes in one file begins first: handed out last, one process would work on it alone. Pages load the
# world that the other files of the browser copy, so those come when it is there.
LONG = (
    "tests/browser/test_pages",
    "tests/crashes/",
    "tests/browser/",
    "tests/config/test_up",
    "tests/races/",
    "tests/properties/",
    "tests/sdk/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((n for n, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG))
    )


@pytest.fixture(autouse=True, scope="session")
def static_files_found_when_asked_for() -> None:
    """Spare every client of every test a walk over all static files, which WhiteNoise does when it is made."""
    django_settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def forget_what_processes_remember() -> None:
    """Start every test like a new process: ids and snapshots of the last test's rows are gone."""
    attribution.forget()
    counters.forget()
    served.forget()
    refusals.forget()
    price_book.forget()
    offer_book.forget()
    route_book.forget()
    limit_book.forget()
    lift_book.forget()
    offer_book.forget()


@pytest.fixture(autouse=True)
def no_partitions(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin and end each test that commits without partitions of months: emptying tables does not drop them."""
    marker = request.node.get_closest_marker("django_db")
    commits = "transactional_db" in request.fixturenames or (marker and marker.kwargs.get("transaction"))
    if commits:
        request.getfixturevalue("transactional_db")
        _drop_partitions()
    yield
    if commits:
        _drop_partitions()


def _drop_partitions() -> None:
    for period in partitions.existing():
        with transaction.atomic():
            partitions.drop(period)


@dataclass(frozen=True)
class Cast:
    """Who plays in most tests. The creator's team owns apps, the consumer's team subscribes."""

    company: Organization
    creator_team: Team
    consumer_team: Team
    cost_center: CostCenter
    creator: User
    consumer: User
    approver: User
    finance: User
    operator: User
    stranger: User
    stranger_team: Team


@pytest.fixture
def cast(db: None) -> Cast:
    company = factories.make_organization(slug="demo", name="Demo Company", is_platform=True)
    finance = factories.make_user("finance@demo.example")
    cost_center = factories.make_cost_center(company, code="CC-100", owner=finance, mode="chargeback")
    creator_team = factories.make_team(company, slug="team-ux", name="UX", cost_center=cost_center)
    consumer_team = factories.make_team(company, slug="team-ops", name="Operations", cost_center=cost_center)
    people = {
        name: factories.make_user(f"{name}@demo.example")
        for name in ("creator", "consumer", "approver", "operator")
    }
    factories.join(people["creator"], creator_team, "creator")
    factories.join(people["consumer"], consumer_team, "consumer")
    for name in ("approver", "operator"):
        factories.join(people[name], None, name, organization=company)
    factories.join(finance, None, "finance", organization=company)
    other = factories.make_organization(slug="other", name="Other Company", billing="invoice")
    stranger = factories.make_user("stranger@other.example")
    stranger_team = factories.make_team(other, slug="strangers")
    for role in ("creator", "consumer", "approver", "finance", "operator"):
        factories.join(stranger, stranger_team, role)
    return Cast(
        company=company,
        creator_team=creator_team,
        consumer_team=consumer_team,
        cost_center=cost_center,
        finance=finance,
        stranger=stranger,
        stranger_team=stranger_team,
        **people,
    )
