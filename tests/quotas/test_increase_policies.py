from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from quotas import increase_decisions, increase_policies
from quotas.increase_models import IncreasePolicy
from quotas.increase_policies import OwnPolicy, in_force, terms_of
from quotas.increase_rehearsal import rehearse
from quotas.owners import Owner
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.increase_world import DAY, TERMS, make_policy, make_request, make_wish

PAGES = "/increases/policies/"
HOUR = DAY / 24


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def proposed(operator: Actor) -> IncreasePolicy:
    return increase_policies.propose(TERMS, reason="First rules.", by=operator, at=NOW)


class TestPropose:
    def test_changes_nothing_and_tells_who_may_activate(self, cast: Cast, proposed: IncreasePolicy) -> None:
        assert (proposed.number, proposed.state, in_force(NOW + DAY)) == (1, "proposed", None)
        assert [notice.recipient for notice in Notice.objects.all()] == [cast.finance]
        assert terms_of(proposed) == TERMS

    @pytest.mark.parametrize("who", ["consumer", "creator", "approver", "finance", "stranger"])
    def test_is_for_operators_of_the_platform(self, cast: Cast, who: str) -> None:
        with pytest.raises(NotAllowed):
            increase_policies.propose(TERMS, reason="So.", by=actor_for(getattr(cast, who)), at=NOW)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"auto_max_percent": Decimal(-1)}, "auto_max_percent"),
            ({"auto_max_monthly_cost": Decimal(10) ** 13}, "auto_max_monthly_cost"),
            ({"auto_min_head_room_percent": Decimal(101)}, "auto_min_head_room_percent"),
            ({"expire_after_hours": 72}, "expire_after_hours"),
            ({"remind_after_hours": 0}, "expire_after_hours"),
        ],
    )
    def test_names_what_is_wrong(self, operator: Actor, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            increase_policies.propose(replace(TERMS, **changes), reason="So.", by=operator, at=NOW)

        assert refused.value.field == field


class TestActivate:
    def test_lets_it_hold_from_a_date_and_ends_the_one_before(
        self, proposed: IncreasePolicy, operator: Actor, finance: Actor
    ) -> None:
        increase_policies.activate(proposed, by=finance, at=NOW)
        second = increase_policies.propose(
            replace(TERMS, auto_max_percent=Decimal(50)), reason="More.", by=operator, at=NOW
        )

        increase_policies.activate(second, by=finance, at=NOW, starts_at=NOW + DAY)

        assert [in_force(at) for at in (NOW, NOW + DAY)] == [proposed, second]
        proposed.refresh_from_db()
        assert proposed.ends_at == NOW + DAY

    def test_is_not_for_who_proposed(self, proposed: IncreasePolicy, operator: Actor) -> None:
        with pytest.raises(OwnPolicy):
            increase_policies.activate(proposed, by=operator, at=NOW)
        with pytest.raises(IntegrityError, match="increase_policy_four_eyes"), transaction.atomic():
            IncreasePolicy.objects.update(decided_by=operator.user)

    @pytest.mark.parametrize("who", ["consumer", "creator", "approver", "stranger"])
    def test_is_for_operators_and_finance(self, cast: Cast, proposed: IncreasePolicy, who: str) -> None:
        with pytest.raises(NotAllowed):
            increase_policies.activate(proposed, by=actor_for(getattr(cast, who)), at=NOW)

    def test_happens_once_and_not_in_the_past(self, proposed: IncreasePolicy, finance: Actor) -> None:
        with pytest.raises(InvalidInput):
            increase_policies.activate(proposed, by=finance, at=NOW, starts_at=NOW - DAY)
        increase_policies.activate(proposed, by=finance, at=NOW)

        with pytest.raises(IllegalTransition):
            increase_policies.activate(proposed, by=finance, at=NOW)
        with pytest.raises(IllegalTransition):
            increase_policies.reject(proposed, by=finance, at=NOW, note="No.")


class TestPolicy:
    def test_never_changes(self, proposed: IncreasePolicy, finance: Actor) -> None:
        increase_policies.activate(proposed, by=finance, at=NOW)

        for change in ({"auto_max_percent": 99}, {"reason": "Other."}, {"starts_at": NOW + DAY}):
            with pytest.raises(IntegrityError, match="increase_policy_is_fixed"), transaction.atomic():
                IncreasePolicy.objects.filter(pk=proposed.pk).update(**change)

    def test_is_one_at_a_time(self, cast: Cast, proposed: IncreasePolicy, finance: Actor) -> None:
        increase_policies.activate(proposed, by=finance, at=NOW)

        with pytest.raises(IntegrityError, match="increase_policy_one_open"), transaction.atomic():
            fields = {name: getattr(TERMS, name) for name in (*increase_policies.TERMS, "currency")}
            IncreasePolicy.objects.create(
                number=9, state="approved", starts_at=NOW, reason="So.", proposed_by=cast.operator,
                proposed_at=NOW, decided_by=cast.finance, decided_at=NOW, **fields,
            )  # fmt: skip


class TestRehearse:
    def test_judges_by_what_was_known_when_requests_came(
        self, cast: Cast, owner: Owner, finance: Actor, room: None
    ) -> None:
        make_policy(cast)
        make_request(owner, cast.consumer, at=NOW - 40 * DAY, wish=make_wish(1100))
        make_request(owner, cast.consumer, at=NOW - 6 * HOUR, wish=make_wish(1250))
        denied = make_request(owner, cast.consumer, at=NOW - 5 * HOUR, wish=make_wish(1800))
        increase_decisions.deny(denied, by=finance, at=NOW - 5 * HOUR, reason="No.")
        make_request(owner, cast.consumer, at=NOW - 4 * HOUR, wish=make_wish(9000))
        make_request(owner, cast.consumer, at=NOW, wish=make_wish(500))

        wide = replace(TERMS, auto_max_percent=Decimal(100))
        tried = rehearse(wide, from_at=NOW - 30 * DAY, to_at=NOW + DAY)

        # 1,250 and, from there, 1,800 (44 % more) are within 100 %; 9,000 is not. The decrease is left out.
        assert (len(tried.replayed), tried.automatic, tried.automatic_then, tried.against_people) == (
            3,
            2,
            1,
            1,
        )
        assert tried.sentence == "Would have granted 2 of 3 requests by itself; 1 was."


class TestPages:
    def typed(self, **fields: Any) -> dict[str, Any]:
        return (
            {name: str(getattr(TERMS, name)) for name in increase_policies.TERMS} | {"reason": "So."} | fields
        )

    def test_go_from_a_proposal_over_a_dry_run_to_a_second_person(
        self, cast: Cast, owner: Owner, client: Client, room: None
    ) -> None:
        client.force_login(cast.operator)
        tried = client.post(f"{PAGES}propose/", self.typed(act="try"))
        assert "There was no request to try it on." in tried.content.decode()
        assert not IncreasePolicy.objects.exists()

        assert client.post(f"{PAGES}propose/", self.typed(act="propose")).url == f"{PAGES}1/"
        assert "Nobody activates their own policy" in client.get(f"{PAGES}1/").content.decode()
        client.force_login(cast.finance)
        assert "Activate" in client.get(f"{PAGES}1/").content.decode()
        client.post(f"{PAGES}1/", {"act": "activate", "note": "Fine."})

        policy = IncreasePolicy.objects.get()
        assert (policy.state, policy.decided_by) == ("approved", cast.finance)
        assert "In force: version 1" in client.get(PAGES).content.decode()

    def test_show_what_differs(self, cast: Cast, client: Client, operator: Actor) -> None:
        make_policy(cast)
        increase_policies.propose(
            replace(TERMS, auto_max_percent=Decimal(40)), reason="More.", by=operator, at=NOW
        )
        client.force_login(cast.finance)

        shown = client.get(f"{PAGES}2/").content.decode()

        assert "<del>25 %</del>" in shown
        assert "<ins>40 %</ins>" in shown

    @pytest.mark.parametrize("who", ["consumer", "creator", "stranger"])
    @pytest.mark.parametrize("place", ["", "propose/", "1/"])
    def test_are_not_for_others(
        self, cast: Cast, proposed: IncreasePolicy, client: Client, who: str, place: str
    ) -> None:
        client.force_login(getattr(cast, who))

        assert client.get(f"{PAGES}{place}").status_code == 403
