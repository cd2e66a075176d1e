"""Delegations made at the same moment, each of which would be right alone."""

from datetime import timedelta
from typing import Any

import pytest

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from quotas import delegations
from quotas.delegations import AlreadyDelegated, Circle
from quotas.models import Delegation
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ring(cast: Cast) -> list[User]:
    people = [factories.make_user(f"approver-{number}@demo.example") for number in range(4)]
    for person in people:
        factories.join(person, None, "approver", organization=cast.company)
    return people


def make(delegator: User, to: User) -> Any:
    return lambda: delegations.delegate(
        delegator,
        to=to,
        scope="all",
        starts_at=NOW,
        ends_at=NOW + timedelta(days=7),
        by=actor_for(delegator),
        at=NOW,
    )


class TestDelegate:
    def test_leaves_a_ring_open_when_all_of_it_delegate_at_once(self, ring: list[User]) -> None:
        works = [make(person, ring[(number + 1) % 4]) for number, person in enumerate(ring)]

        done, errors = at_once(works)

        assert (len(done), [type(error) for error in errors]) == (3, [Circle])
        assert Delegation.objects.count() == 3

    def test_leaves_one_of_two_who_delegate_to_each_other(self, ring: list[User]) -> None:
        done, errors = at_once([make(ring[0], ring[1]), make(ring[1], ring[0])])

        assert (len(done), [type(error) for error in errors]) == (1, [Circle])

    def test_gives_somebody_one_delegate(self, ring: list[User]) -> None:
        done, errors = at_once([make(ring[0], other) for other in ring[1:]])

        assert (len(done), [type(error) for error in errors]) == (1, [AlreadyDelegated] * 2)
