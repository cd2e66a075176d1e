"""Deciders who press at the same moment, through the pages."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from quotas import delegations, desk_notes
from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.models import DeskMark
from tests import factories
from tests.conftest import Cast
from tests.quotas.increase_world import DAY, make_request, make_wish, owner_of_subscription
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def asked(cast: Cast) -> IncreaseRequest:
    """A request that waits for its cost; the capacity comes after."""
    factories.make_model("llm-8b")
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    owner = owner_of_subscription(factories.make_subscription(app, cast.consumer_team))
    now = timezone.now()
    return make_request(owner, cast.consumer, at=now, wish=make_wish(ends_at=now + 30 * DAY))


def press(person: User, asked: IncreaseRequest, decision: str, level: str) -> Any:
    """Sign in and prepare; what is returned presses the button."""
    window = Client()
    window.force_login(person)
    typed = {"decision": decision, "level": level, "granted": "5000", "reason": "Because."}
    return lambda: window.post(f"/increases/{asked.pk}/decide/", typed)


class TestDeciders:
    def test_at_once_decide_once_and_the_other_is_told_by_whom(
        self, cast: Cast, asked: IncreaseRequest
    ) -> None:
        done, errors = at_once(
            [
                press(cast.finance, asked, "approve", "cost_review"),
                press(cast.approver, asked, "deny", "cost_review"),
            ]
        )

        assert errors == []
        assert sorted(answer.status_code for answer in done) == [200, 302]
        decision = IncreaseDecision.objects.get(request=asked)
        loser = next(answer for answer in done if answer.status_code == 200).content.decode()
        assert f"{decision.decider} " in loser
        assert "this request at" in loser

    def test_of_whom_one_decides_for_the_other_decide_once(self, cast: Cast, asked: IncreaseRequest) -> None:
        """A delegate and whoever they decide for press together: one decision, whosever it is."""
        bea = factories.make_user("bea@demo.example")
        factories.join(bea, cast.creator_team, "creator")
        now = timezone.now()
        delegations.delegate(
            cast.finance,
            to=bea,
            scope="all",
            starts_at=now,
            ends_at=now + DAY,
            by=actor_for(cast.finance),
            at=now,
        )

        at_once(
            [
                press(cast.finance, asked, "approve", "cost_review"),
                press(bea, asked, "approve", "cost_review"),
            ]
        )

        asked.refresh_from_db()
        assert asked.state == "capacity_review"
        assert IncreaseDecision.objects.filter(request=asked).count() == 1
        assert not Grant.objects.exists()

    def test_who_take_it_at_once_leave_it_with_one(self, cast: Cast, asked: IncreaseRequest) -> None:
        people = [cast.finance, cast.approver]
        now = timezone.now()

        done, errors = at_once(
            [
                lambda person=person: desk_notes.assign(asked, to=person, by=person, at=now, path="")  # type: ignore[misc]
                for person in people
            ]
        )

        assert (len(done), errors) == (2, [])
        assert DeskMark.objects.get().assignee in people
