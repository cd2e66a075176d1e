from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from quotas import delegations
from quotas.delegations import AlreadyDelegated, Circle, DelegationEnded
from quotas.models import Delegation
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

DAY = timedelta(days=1)


@pytest.fixture
def bea(cast: Cast) -> User:
    person = factories.make_user("bea@demo.example", first_name="Bea")
    factories.join(person, None, "approver", organization=cast.company)
    return person


def make(delegator: User, to: User, **fields: Any) -> Delegation:
    by: Actor = fields.pop("by", None) or actor_for(delegator)
    values: dict[str, Any] = {"scope": "all", "starts_at": NOW, "ends_at": NOW + 7 * DAY, "at": NOW}
    return delegations.delegate(delegator, to=to, by=by, **values | fields)


def people(*names: str) -> dict[str, User]:
    return {name: User(pk=number, email=name) for number, name in enumerate(names, start=1)}


def unsaved(delegator: User, to: User, *, scope: str = "all", first: int = 0, last: int = 10) -> Delegation:
    return Delegation(
        delegator=delegator, delegate=to, scope=scope, starts_at=NOW + first * DAY, ends_at=NOW + last * DAY
    )


class TestFindCircle:
    def test_finds_a_pair(self) -> None:
        p = people("ann", "bea")

        circle = delegations.find_circle(unsaved(p["ann"], p["bea"]), [unsaved(p["bea"], p["ann"])])

        assert circle == (p["ann"], p["bea"], p["ann"])

    def test_finds_a_longer_one(self) -> None:
        p = people("ann", "bea", "cem", "dan")
        known = [unsaved(p["bea"], p["cem"]), unsaved(p["bea"], p["dan"]), unsaved(p["dan"], p["ann"])]

        circle = delegations.find_circle(unsaved(p["ann"], p["bea"]), known)

        assert circle == (p["ann"], p["bea"], p["dan"], p["ann"])

    def test_wants_all_steps_to_overlap_in_time(self) -> None:
        """Bea is away until the third day and Cem from then on, so nothing goes round at any moment."""
        p = people("ann", "bea", "cem")
        known = [unsaved(p["bea"], p["cem"], last=3), unsaved(p["cem"], p["ann"], first=3)]

        assert delegations.find_circle(unsaved(p["ann"], p["bea"]), known) == ()

    def test_wants_all_steps_to_be_of_one_kind(self) -> None:
        p = people("ann", "bea")
        back = unsaved(p["bea"], p["ann"], scope="capacity_review")

        assert delegations.find_circle(unsaved(p["ann"], p["bea"], scope="cost_review"), [back]) == ()
        assert delegations.find_circle(unsaved(p["ann"], p["bea"], scope="all"), [back]) != ()

    def test_ends_in_a_circle_that_others_closed(self) -> None:
        p = people("ann", "bea", "cem")
        known = [unsaved(p["bea"], p["cem"]), unsaved(p["cem"], p["bea"])]

        assert delegations.find_circle(unsaved(p["ann"], p["bea"]), known) == ()


class TestReach:
    def test_follows_chains(self) -> None:
        p = people("ann", "bea", "cem")
        known = [unsaved(p["ann"], p["bea"]), unsaved(p["bea"], p["cem"])]

        found = delegations.reach(p["cem"], known)

        assert [one.delegator.email for one in found] == ["bea", "ann"]
        assert [person.email for person in found[1].path] == ["ann", "bea", "cem"]

    def test_hands_on_no_more_than_each_step_allows(self) -> None:
        p = people("ann", "bea", "cem")
        known = [unsaved(p["ann"], p["bea"], scope="cost_review"), unsaved(p["bea"], p["cem"])]

        ann = delegations.reach(p["cem"], known)[1]

        assert (ann.covers("cost_review"), ann.covers("capacity_review")) == (True, False)

    def test_ends_in_a_circle(self) -> None:
        p = people("ann", "bea")
        known = [unsaved(p["ann"], p["bea"]), unsaved(p["bea"], p["ann"])]

        assert [one.delegator.email for one in delegations.reach(p["bea"], known)] == ["ann"]


class TestDelegate:
    def test_gives_the_right_from_until(self, cast: Cast, bea: User) -> None:
        make(cast.approver, bea, starts_at=NOW + DAY)

        def for_whom(at: datetime) -> list[User]:
            return [one.delegator for one in delegations.standings(bea, at=at)]

        assert for_whom(NOW) == []
        assert for_whom(NOW + DAY) == [cast.approver]
        assert for_whom(NOW + 7 * DAY) == []

    def test_tells_the_delegate_and_the_trail(self, cast: Cast, bea: User) -> None:
        made = make(cast.approver, bea, note="holiday")

        told = Notice.objects.get(recipient=bea)
        assert told.text.startswith("You decide for approver@demo.example from 15 Nov 2026, 12:00")
        entry = AuditEntry.objects.get(action="quotas.delegation.made", subject_id=str(made.pk))
        assert (entry.actor, entry.new["delegate"], entry.reason) == (
            cast.approver,
            "bea@demo.example",
            "holiday",
        )

    def test_is_made_by_an_operator_for_somebody_who_is_told(self, cast: Cast, bea: User) -> None:
        make(cast.approver, bea, by=actor_for(cast.operator))

        assert "decides for you" in Notice.objects.get(recipient=cast.approver).text
        entry = AuditEntry.objects.get(action="quotas.delegation.made")
        assert (entry.actor, entry.acting_for) == (cast.operator, cast.approver)

    def test_refuses_a_circle_and_names_it(self, cast: Cast, bea: User) -> None:
        make(cast.approver, bea)

        with pytest.raises(Circle, match="in a circle") as caught:
            make(bea, cast.approver)

        assert caught.value.field == "delegate"
        assert "Bea → approver@demo.example → Bea" in caught.value.message
        assert Delegation.objects.count() == 1

    def test_refuses_a_second_one_for_the_same_days(self, cast: Cast, bea: User) -> None:
        make(cast.approver, bea)

        with pytest.raises(AlreadyDelegated):
            make(cast.approver, cast.operator, starts_at=NOW + 6 * DAY, ends_at=NOW + 9 * DAY)

        make(cast.approver, cast.operator, starts_at=NOW + 7 * DAY, ends_at=NOW + 9 * DAY)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"scope": "nothing"}, "scope"),
            ({"ends_at": NOW}, "ends_at"),
            ({"ends_at": NOW + 400 * DAY}, "ends_at"),
        ],
    )
    def test_names_what_is_wrong(self, cast: Cast, bea: User, fields: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            make(cast.approver, bea, **fields)

        assert caught.value.field == field

    def test_is_for_colleagues_of_people_who_decide(self, cast: Cast, bea: User) -> None:
        for delegator, to, field in (
            (cast.approver, cast.approver, "delegate"),
            (cast.approver, cast.stranger, "delegate"),
            (cast.consumer, bea, "delegator"),
        ):
            with pytest.raises(InvalidInput) as caught:
                make(delegator, to)
            assert caught.value.field == field

    def test_is_not_for_others_to_make(self, cast: Cast, bea: User) -> None:
        for other in (cast.consumer, cast.stranger, bea):
            with pytest.raises(NotAllowed):
                make(cast.approver, cast.operator, by=actor_for(other))


class TestEnd:
    def test_takes_the_right_at_once(self, cast: Cast, bea: User) -> None:
        made = make(cast.approver, bea)

        delegations.end(made, by=actor_for(cast.approver), at=NOW + DAY)

        assert delegations.standings(bea, at=NOW + DAY) == []
        made.refresh_from_db()
        assert (made.ends_at, made.ended_by) == (NOW + DAY, cast.approver)

    def test_of_one_that_has_not_begun_lets_it_never_begin(self, cast: Cast, bea: User) -> None:
        made = make(cast.approver, bea, starts_at=NOW + DAY)

        delegations.end(made, by=actor_for(cast.operator), at=NOW)

        assert delegations.standings(bea, at=NOW + DAY) == []

    def test_happens_once(self, cast: Cast, bea: User) -> None:
        made = make(cast.approver, bea)
        delegations.end(made, by=actor_for(cast.approver), at=NOW + DAY)

        with pytest.raises(DelegationEnded):
            delegations.end(made, by=actor_for(cast.approver), at=NOW + 2 * DAY)

    def test_is_not_for_the_delegate(self, cast: Cast, bea: User) -> None:
        with pytest.raises(NotAllowed):
            delegations.end(make(cast.approver, bea), by=actor_for(bea), at=NOW)


class TestConstraints:
    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"to_self": True}, "delegation_to_another"),
            ({"ends_at": NOW - DAY}, "delegation_ends_after_start"),
        ],
    )
    def test_hold_whoever_writes(self, cast: Cast, bea: User, fields: dict[str, Any], name: str) -> None:
        delegate = cast.approver if fields.get("to_self") else bea
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            Delegation.objects.create(
                delegator=cast.approver,
                delegate=delegate,
                starts_at=NOW,
                ends_at=fields.get("ends_at", NOW + DAY),
                created_by=bea,
                created_at=NOW,
            )
