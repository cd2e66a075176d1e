from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from quotas import increase_decisions, increase_routine, increases, queries
from quotas.increase_decisions import Offer
from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_rights import (
    AlreadyDecided,
    OwnRequest,
    SecondPersonNeeded,
    decidable,
    may_decide,
    visible_requests,
)
from quotas.owners import Owner, owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.increase_world import DAY, make_policy, make_request, make_wish

HOUR = timedelta(hours=1)


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def approver(cast: Cast) -> Actor:
    return actor_for(cast.approver)


@pytest.fixture
def request_(cast: Cast, owner: Owner) -> IncreaseRequest:
    """5,000 calls a day in place of 1,000; both reviews are needed."""
    make_policy(cast)
    return make_request(owner, cast.consumer)


def daily_calls(owner: Owner, *, at: Any = NOW) -> Decimal:
    return queries.effective(owner, at=at)["requests", "day", ""].value


class TestApprove:
    def test_passes_the_cost_on_to_the_review_of_capacity_which_grants(
        self, cast: Cast, owner: Owner, request_: IncreaseRequest, finance: Actor, operator: Actor
    ) -> None:
        increase_decisions.approve(request_, by=finance, at=NOW)

        assert (request_.state, daily_calls(owner)) == ("capacity_review", 1000)
        told = Notice.objects.filter(idempotency_key=f"increase:{request_.pk}:capacity_review")
        assert {notice.recipient for notice in told} == {cast.operator, cast.approver}

        increase_decisions.approve(request_, by=operator, at=NOW + HOUR)

        assert (request_.state, request_.granted) == ("approved", 5000)
        grant = Grant.objects.get()
        assert (grant.state, grant.value, grant.starts_at) == ("active", 5000, NOW + HOUR)
        assert grant.ends_at == NOW + 30 * DAY
        assert daily_calls(owner, at=NOW + HOUR) == 5000

    def test_keeps_what_was_shown_to_whoever_decided(self, request_: IncreaseRequest, finance: Actor) -> None:
        increase_decisions.approve(
            request_, by=finance, at=NOW, offer=Offer(granted=Decimal(2000)), reason="Half."
        )

        decision = IncreaseDecision.objects.get()
        assert (decision.level, decision.decider, decision.granted) == ("cost_review", finance.user, 2000)
        assert decision.snapshot["granted"] == "2000"
        assert set(decision.snapshot) >= {"projection", "head_room", "rules", "policy"}
        assert decision.policy == request_.policy

    def test_gives_less_with_a_reason(
        self, owner: Owner, request_: IncreaseRequest, finance: Actor, operator: Actor
    ) -> None:
        less = Offer(granted=Decimal(3000))
        with pytest.raises(InvalidInput) as refused:
            increase_decisions.approve(request_, by=finance, at=NOW, offer=less)
        assert refused.value.field == "reason"

        increase_decisions.approve(request_, by=finance, at=NOW, offer=less, reason="Start with this.")
        with pytest.raises(InvalidInput) as refused:
            increase_decisions.approve(
                request_, by=operator, at=NOW, offer=Offer(granted=Decimal(4000)), reason="More."
            )
        assert refused.value.field == "granted"
        increase_decisions.approve(request_, by=operator, at=NOW, reason="Fits.")

        assert (request_.state, request_.requested, request_.granted) == ("partially_approved", 5000, 3000)
        assert daily_calls(owner) == 3000

    @pytest.mark.parametrize(
        ("offer", "field"),
        [
            (Offer(granted=Decimal(5001)), "granted"),
            (Offer(granted=Decimal(1000)), "granted"),
            (Offer(granted=Decimal("1500.5")), "granted"),
            (Offer(ends_at=NOW), "ends_at"),
        ],
    )
    def test_names_what_cannot_be_given(
        self, request_: IncreaseRequest, finance: Actor, offer: Offer, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            increase_decisions.approve(request_, by=finance, at=NOW, offer=offer, reason="So.")

        assert refused.value.field == field
        assert not IncreaseDecision.objects.exists()

    def test_gives_another_time_than_was_asked(
        self, request_: IncreaseRequest, finance: Actor, operator: Actor
    ) -> None:
        shorter = Offer(starts_at=NOW + DAY, ends_at=NOW + 8 * DAY)
        increase_decisions.approve(request_, by=finance, at=NOW, offer=shorter)
        increase_decisions.approve(request_, by=operator, at=NOW)

        grant = Grant.objects.get()
        assert (grant.state, grant.starts_at, grant.ends_at) == ("scheduled", NOW + DAY, NOW + 8 * DAY)

    def test_needs_one_level_where_the_policy_asks_for_one(
        self, cast: Cast, owner: Owner, operator: Actor
    ) -> None:
        make_policy(cast, cost_review_above=Decimal(1000))
        request = make_request(owner, cast.consumer)

        assert (request.state, request.levels) == ("capacity_review", ["capacity_review"])
        increase_decisions.approve(request, by=operator, at=NOW)
        assert request.state == "approved"

    def test_is_not_for_who_asked(self, cast: Cast, owner: Owner, finance: Actor, approver: Actor) -> None:
        team = owner_of("team", cast.consumer_team)
        factories.join(cast.finance, cast.consumer_team, "consumer")
        request = make_request(owner, cast.finance)

        assert team.label
        assert not may_decide(request, actor=actor_for(cast.finance))
        with pytest.raises(OwnRequest):
            increase_decisions.approve(request, by=finance, at=NOW)
        with pytest.raises(OwnRequest):
            increase_decisions.approve(request, by=approver, acting_for=finance, at=NOW)
        with pytest.raises(OwnRequest):
            increase_decisions.deny(request, by=finance, at=NOW, reason="No.")

    def test_needs_two_people_where_the_policy_does(
        self, request_: IncreaseRequest, approver: Actor, operator: Actor
    ) -> None:
        increase_decisions.approve(request_, by=approver, at=NOW)

        with pytest.raises(SecondPersonNeeded):
            increase_decisions.approve(request_, by=approver, at=NOW)
        # Nor through somebody who acts for them.
        with pytest.raises(SecondPersonNeeded):
            increase_decisions.approve(request_, by=operator, acting_for=approver, at=NOW)
        increase_decisions.approve(request_, by=operator, at=NOW)

    def test_lets_one_person_decide_both_where_the_policy_does(
        self, cast: Cast, owner: Owner, approver: Actor
    ) -> None:
        make_policy(cast, needs_two_people=False)
        request = make_request(owner, cast.consumer)

        increase_decisions.approve(request, by=approver, at=NOW)
        increase_decisions.approve(request, by=approver, at=NOW)

        assert request.state == "approved"

    def test_names_both_when_somebody_acts_for_another(
        self, cast: Cast, request_: IncreaseRequest, finance: Actor
    ) -> None:
        deputy = factories.make_user("deputy@demo.example")

        increase_decisions.approve(request_, by=actor_for(deputy), acting_for=finance, at=NOW)

        decision, entry = IncreaseDecision.objects.get(), audit.history(request_)[-1]
        assert (decision.decider, decision.acting_for) == (deputy, cast.finance)
        assert (entry.actor, entry.acting_for) == (deputy, cast.finance)

    @pytest.mark.parametrize("who", ["consumer", "creator", "operator", "stranger"])
    def test_of_the_cost_is_for_the_paying_side(
        self, cast: Cast, request_: IncreaseRequest, who: str
    ) -> None:
        with pytest.raises(NotAllowed):
            increase_decisions.approve(request_, by=actor_for(getattr(cast, who)), at=NOW)

    @pytest.mark.parametrize("who", ["consumer", "creator", "finance", "stranger"])
    def test_of_capacity_is_for_operators_and_approvers(
        self, cast: Cast, request_: IncreaseRequest, approver: Actor, who: str
    ) -> None:
        increase_decisions.approve(request_, by=approver, at=NOW)

        with pytest.raises(NotAllowed):
            increase_decisions.approve(request_, by=actor_for(getattr(cast, who)), at=NOW)

    def test_of_the_cost_is_also_for_the_owner_of_the_cost_center(
        self, cast: Cast, request_: IncreaseRequest
    ) -> None:
        lead = factories.make_user("lead@demo.example")
        cast.cost_center.owner = lead
        cast.cost_center.save(update_fields=["owner"])
        request = IncreaseRequest.objects.get()

        assert visible_requests(actor_for(lead)).get() == decidable(actor_for(lead)).get() == request
        increase_decisions.approve(request, by=actor_for(lead), at=NOW)

    def test_tells_the_second_who_was_faster(
        self, request_: IncreaseRequest, finance: Actor, approver: Actor
    ) -> None:
        seen_before = IncreaseRequest.objects.get()
        increase_decisions.approve(request_, by=finance, at=NOW)

        with pytest.raises(AlreadyDecided, match=r"finance@demo\.example approved this request"):
            increase_decisions.approve(seen_before, by=approver, at=NOW)
        with pytest.raises(AlreadyDecided):
            increase_decisions.deny(seen_before, by=approver, at=NOW, reason="No.")


class TestDeny:
    def test_ends_it_on_any_level(
        self, owner: Owner, request_: IncreaseRequest, finance: Actor, operator: Actor
    ) -> None:
        increase_decisions.approve(request_, by=finance, at=NOW)

        increase_decisions.deny(request_, by=operator, at=NOW, reason="No room until January.")

        assert (request_.state, request_.granted, daily_calls(owner)) == ("denied", None, 1000)
        with pytest.raises(AlreadyDecided):
            increase_decisions.approve(request_, by=operator, at=NOW)

    def test_needs_a_reason(self, request_: IncreaseRequest, finance: Actor) -> None:
        with pytest.raises(InvalidInput):
            increase_decisions.deny(request_, by=finance, at=NOW, reason=" ")


class TestAsk:
    def test_stops_the_clock_until_the_answer(
        self, cast: Cast, request_: IncreaseRequest, finance: Actor
    ) -> None:
        expires_at = request_.expires_at
        assert expires_at == NOW + timedelta(hours=336)

        increase_decisions.ask(request_, question="Which campaign?", by=finance, at=NOW + HOUR)
        assert (request_.state, request_.stopped_at) == ("needs_info", NOW + HOUR)
        with pytest.raises(NotAllowed):
            increase_decisions.answer(request_, text="This one.", by=finance, at=NOW + 5 * HOUR)
        increase_decisions.answer(request_, text="Winter.", by=actor_for(cast.consumer), at=NOW + 5 * HOUR)

        assert (request_.state, request_.stopped_at) == ("cost_review", None)
        assert request_.expires_at == expires_at + 4 * HOUR
        assert Notice.objects.get(text__contains="answered: Winter.").recipient == cast.finance

    def test_can_be_repeated_and_is_kept(self, cast: Cast, request_: IncreaseRequest, finance: Actor) -> None:
        for number in range(2):
            increase_decisions.ask(request_, question=f"Question {number}?", by=finance, at=NOW)
            increase_decisions.answer(request_, text="Yes.", by=actor_for(cast.consumer), at=NOW)

        asked = IncreaseDecision.objects.filter(verdict="asked").order_by("pk")
        assert [decision.reason for decision in asked] == ["Question 0?", "Question 1?"]

    def test_expires_when_nobody_answers_for_as_long_as_a_request_may_wait(
        self, cast: Cast, request_: IncreaseRequest, finance: Actor
    ) -> None:
        # Two weeks are 336 hours: asked after one, reminded of 168 later, over at 337.
        increase_decisions.ask(request_, question="Which?", by=finance, at=NOW + HOUR)
        assert request_.answer_by == NOW + 337 * HOUR

        assert increase_routine.tend(at=NOW + 168 * HOUR) == 0
        assert not Notice.objects.filter(text__contains="waits for your answer").exists()
        for _ in range(2):
            assert increase_routine.tend(at=NOW + 169 * HOUR) == 0
        assert Notice.objects.get(text__contains="waits for your answer").recipient == cast.consumer

        assert increase_routine.tend(at=NOW + 337 * HOUR) == 1
        request_.refresh_from_db()
        assert request_.state == "expired"
        assert "was not answered in time" in Notice.objects.order_by("-pk")[0].text
        with pytest.raises(IllegalTransition):
            increase_decisions.answer(
                request_, text="This.", by=actor_for(cast.consumer), at=NOW + 338 * HOUR
            )

    def test_is_answered_once(self, cast: Cast, request_: IncreaseRequest, finance: Actor) -> None:
        consumer = actor_for(cast.consumer)
        increase_decisions.ask(request_, question="Which?", by=finance, at=NOW)
        increase_decisions.answer(request_, text="This.", by=consumer, at=NOW)

        with pytest.raises(IllegalTransition):
            increase_decisions.answer(request_, text="That.", by=consumer, at=NOW)

    def test_leaves_taking_it_back_and_asking_anew(
        self, cast: Cast, owner: Owner, request_: IncreaseRequest, finance: Actor
    ) -> None:
        increase_decisions.ask(request_, question="Which?", by=finance, at=NOW)

        increases.create(owner, wish=make_wish(2000), by=actor_for(cast.consumer), at=NOW)

        request_.refresh_from_db()
        assert request_.state == "superseded"


class TestDecisions:
    """What the database holds, whoever writes."""

    def write(self, request: IncreaseRequest, **fields: Any) -> None:
        values = {"level": "cost_review", "verdict": "approved", "granted": 2000, "decided_at": NOW}
        with transaction.atomic():
            IncreaseDecision.objects.create(request=request, **values | fields)

    def test_are_never_of_who_asked(self, cast: Cast, request_: IncreaseRequest) -> None:
        with pytest.raises(IntegrityError, match="increase_four_eyes"):
            self.write(request_, decider=cast.consumer)
        with pytest.raises(IntegrityError, match="increase_four_eyes"):
            self.write(request_, decider=cast.finance, acting_for=cast.consumer)

    def test_of_two_levels_are_of_two_people(self, cast: Cast, request_: IncreaseRequest) -> None:
        self.write(request_, decider=cast.finance)

        for people in (
            {"decider": cast.finance},
            {"decider": cast.operator, "acting_for": cast.finance},
        ):
            with pytest.raises(IntegrityError, match="increase_two_people"):
                self.write(request_, level="capacity_review", **people)
        self.write(request_, level="capacity_review", decider=cast.operator)

    def test_are_one_for_each_level(self, cast: Cast, request_: IncreaseRequest) -> None:
        self.write(request_, decider=cast.finance)

        with pytest.raises(IntegrityError, match="increase_decision_one_of_level"):
            self.write(request_, decider=cast.approver)

    def test_of_people_have_a_person_and_a_no_has_a_reason(
        self, cast: Cast, request_: IncreaseRequest
    ) -> None:
        with pytest.raises(IntegrityError, match="increase_decision_has_decider"):
            self.write(request_)
        with pytest.raises(IntegrityError, match="increase_decision_has_decider"):
            self.write(request_, level="policy", decider=cast.finance)
        with pytest.raises(IntegrityError, match="increase_decision_has_reason"):
            self.write(request_, decider=cast.finance, verdict="denied", granted=None)

    def test_never_change(self, cast: Cast, request_: IncreaseRequest) -> None:
        self.write(request_, decider=cast.finance)

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            IncreaseDecision.objects.update(reason="Other.")
