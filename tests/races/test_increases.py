"""Increase requests decided, superseded and submitted at the same moment."""

from decimal import Decimal
from typing import Any

import pytest

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import App
from marketplace.core.models import AuditEntry
from metering import ingest
from quotas import increase_decisions, increases, queries
from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_rights import AlreadyDecided
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import used
from tests.quotas.increase_world import DAY, make_policy, make_request, make_wish, owner_of_subscription
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def owner(cast: Cast, app: App) -> Owner:
    """A subscription of an app that somebody else has called, so that it is known what a call costs."""
    other = factories.make_subscription(app, cast.creator_team)
    ingest.record([used(other, "first", at=NOW - 2 * DAY, input_tokens=480)], at=NOW)
    return owner_of_subscription(factories.make_subscription(app, cast.consumer_team))


@pytest.fixture
def approvers(cast: Cast) -> list[Actor]:
    people = [factories.make_user(f"approver-{number}@demo.example") for number in range(4)]
    for person in people:
        factories.join(person, None, "approver", organization=cast.company)
    return [actor_for(person) for person in people]


def seen(request: IncreaseRequest) -> IncreaseRequest:
    """The request as somebody has it on their page."""
    return IncreaseRequest.objects.get(pk=request.pk)


class TestDeciders:
    def test_at_once_decide_a_level_once(self, cast: Cast, owner: Owner, approvers: list[Actor]) -> None:
        make_policy(cast)
        asked = make_request(owner, cast.consumer)
        pages = [seen(asked) for _ in approvers]

        def decide(number: int) -> Any:
            page, by = pages[number], approvers[number]
            if number % 2:
                return increase_decisions.deny(page, reason="No.", by=by, at=NOW)
            return increase_decisions.approve(page, by=by, at=NOW)

        done, errors = at_once([lambda n=n: decide(n) for n in range(4)])  # type: ignore[misc]

        assert (len(done), {type(error) for error in errors}) == (1, {AlreadyDecided})
        assert all("while you looked at it" in str(error) for error in errors)
        assert IncreaseDecision.objects.count() == 1
        asked.refresh_from_db()
        assert asked.state == ("capacity_review" if IncreaseDecision.objects.get().granted else "denied")

    def test_on_the_last_level_grant_once(self, cast: Cast, owner: Owner, approvers: list[Actor]) -> None:
        make_policy(cast, cost_review_above=Decimal(1000))
        asked = make_request(owner, cast.consumer)
        pages = [seen(asked) for _ in approvers]

        done, errors = at_once(
            [
                lambda page=page, by=by: increase_decisions.approve(page, by=by, at=NOW)  # type: ignore[misc]
                for page, by in zip(pages, approvers, strict=True)
            ]
        )

        assert (len(done), {type(error) for error in errors}) == (1, {AlreadyDecided})
        assert Grant.objects.count() == 1


class TestSuperseding:
    def test_while_somebody_approves_leaves_one_of_both(
        self, cast: Cast, owner: Owner, approvers: list[Actor]
    ) -> None:
        make_policy(cast, cost_review_above=Decimal(1000))
        asked = make_request(owner, cast.consumer)
        page, consumer = seen(asked), actor_for(cast.consumer)

        done, errors = at_once(
            [
                lambda: increase_decisions.approve(page, by=approvers[0], at=NOW),
                lambda: increases.create(owner, wish=make_wish(6000), by=consumer, at=NOW),
            ]
        )

        asked.refresh_from_db()
        newer = IncreaseRequest.objects.get(requested=6000)
        assert [type(error) for error in errors] in ([], [AlreadyDecided])
        assert asked.state == ("superseded" if errors else "approved")
        assert Grant.objects.filter(request=asked).exists() == (not errors)
        # What was granted before it counts as what there is.
        assert newer.current_value == (1000 if errors else 5000)
        assert newer.state in ("capacity_review", "auto_approved")
        assert len(done) + len(errors) == 2


class TestSubmitters:
    def test_at_once_leave_one_open(self, cast: Cast, owner: Owner) -> None:
        consumer = actor_for(cast.consumer)

        done, errors = at_once(
            [
                lambda n=n: increases.create(owner, wish=make_wish(5000 + n), by=consumer, at=NOW)  # type: ignore[misc]
                for n in range(4)
            ]
        )

        assert (len(done), errors) == (4, [])
        states = sorted(IncreaseRequest.objects.values_list("state", flat=True))
        assert states == ["cost_review", "superseded", "superseded", "superseded"]

    def test_with_one_key_make_one_request(self, cast: Cast, owner: Owner) -> None:
        consumer = actor_for(cast.consumer)

        done, errors = at_once(
            [
                lambda: increases.create(owner, wish=make_wish(), by=consumer, at=NOW, idempotency_key="k1")
                for _ in range(4)
            ]
        )

        assert errors == []
        assert len({made.request.pk for made in done}) == 1
        assert sum(made.is_new for made in done) == 1
        assert AuditEntry.objects.filter(action="quotas.increase.submitted").count() == 1

    def test_of_two_windows_do_not_wait_in_a_circle(self, cast: Cast, owner: Owner) -> None:
        consumer = actor_for(cast.consumer)
        wishes = [
            make_wish(5000),
            make_wish(90_000, window="month"),
            make_wish(400),
            make_wish(500, window="month"),
        ]

        done, errors = at_once(
            [lambda wish=wish: increases.create(owner, wish=wish, by=consumer, at=NOW) for wish in wishes]  # type: ignore[misc]
        )

        assert (len(done), errors) == (4, [])
        assert queries.effective(owner, at=NOW)["requests", "month", ""].value == 500
