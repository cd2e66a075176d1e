"""Who is paid: a studio outside of the house, its maker, and two people of finance."""

import pytest

from billing.creators import paying
from billing.models import Payout
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import Team, User
from tests import factories
from tests.billing.paying import TENTH, TERMS, choose, pay, sell
from tests.conftest import Cast


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def second(cast: Cast) -> Actor:
    person = factories.make_user("second@demo.example")
    factories.join(person, None, "finance", organization=cast.company)
    return actor_for(person)


@pytest.fixture
def maker(db: None) -> User:
    return factories.make_user("maker@studio.example")


@pytest.fixture
def studio(cast: Cast, maker: User) -> Team:
    """A team outside of the house, which has 40.00 of an invoice of 50.00."""
    company = factories.make_organization(slug="studio", billing="invoice")
    team = factories.make_team(company, slug="makers", name="Makers")
    factories.join(maker, team, "creator")
    return team


@pytest.fixture
def payout(cast: Cast, studio: Team, maker: User, finance: Actor) -> Payout:
    """A scheduled payout of 40.00."""
    pay(sell(studio, cast), finance)
    choose(studio, maker)
    (found,) = paying.schedule_due(at=TENTH, terms=TERMS)
    return found
