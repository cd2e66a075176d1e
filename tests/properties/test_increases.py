"""Laws of increase requests: judging by a policy, lifting limits, and the machine of a request."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import App
from marketplace.core.errors import HalfpennyError
from quotas import approvals, grants, increase_decisions, increase_routine, increases, queries
from quotas.approvals import Facts, Terms, facts_from_json
from quotas.book import LimitBook, LimitFacts
from quotas.increase_decisions import Offer
from quotas.increase_models import GRANTED, OPEN, Grant, IncreaseDecision, IncreaseRequest
from quotas.lifts import Lift, LiftBook, lifted
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.quotas.increase_world import TERMS, make_policy, make_wish, owner_of_subscription

HOUR = timedelta(hours=1)
AMOUNTS = st.integers(0, 10_000).map(Decimal)
MAYBE = st.none() | AMOUNTS


@st.composite
def terms(draw: Any) -> Terms:
    return replace(
        TERMS,
        auto_max_percent=draw(AMOUNTS),
        auto_max_monthly_cost=draw(AMOUNTS),
        auto_min_head_room_percent=draw(st.integers(0, 100).map(Decimal)),
        auto_max_days=draw(st.integers(0, 400)),
        cost_review_above=draw(AMOUNTS),
        capacity_review_above_percent=draw(AMOUNTS),
    )


@st.composite
def facts(draw: Any) -> Facts:
    return Facts(
        current=draw(AMOUNTS),
        requested=draw(AMOUNTS),
        currency=draw(st.sampled_from(["USD", "EUR"])),
        monthly_cost=draw(MAYBE),
        head_room_percent=draw(st.none() | st.integers(-50, 100).map(Decimal)),
        days=draw(st.none() | st.integers(1, 500)),
    )


class TestJudge:
    @given(terms(), facts())
    def test_lets_nothing_through_that_nobody_and_no_rule_has_looked_at(
        self, policy: Terms, asked: Facts
    ) -> None:
        verdict = approvals.judge(policy, asked)

        assert bool(verdict.levels) != verdict.is_automatic
        if verdict.is_automatic and not asked.is_decrease:
            assert verdict.rules
            assert all(rule.passed for rule in verdict.rules)
        assert set(verdict.levels) <= {"cost_review", "capacity_review"}

    @given(terms(), facts(), AMOUNTS)
    def test_is_not_milder_for_more(self, policy: Terms, asked: Facts, more: Decimal) -> None:
        bigger = replace(asked, requested=asked.requested + more)

        if approvals.judge(policy, bigger).is_automatic:
            assert approvals.judge(policy, asked).is_automatic
        if not asked.is_decrease:
            assert set(approvals.levels_of(policy, asked)) - {"capacity_review"} <= set(
                approvals.levels_of(policy, bigger)
            )

    @given(terms(), facts(), st.sampled_from(["monthly_cost", "head_room_percent", "days"]))
    def test_is_not_milder_when_less_is_known(self, policy: Terms, asked: Facts, name: str) -> None:
        unknown = replace(asked, **{name: None})

        if approvals.judge(policy, unknown).is_automatic:
            assert approvals.judge(policy, asked).is_automatic

    @given(facts())
    def test_reads_back_what_it_kept(self, asked: Facts) -> None:
        assert facts_from_json(asked.as_json()) == asked


def book_of(values: list[int]) -> LimitBook:
    found = {
        number: LimitFacts(number, ("team", number % 2), "requests", "day", Decimal(value), True, "", "UTC", "", LONG_AGO, None)
        for number, value in enumerate(values)
    }  # fmt: skip
    by_owner = {("team", odd): tuple(f for f in found.values() if f.owner == ("team", odd)) for odd in (0, 1)}
    return LimitBook(by_owner, found, frozenset(), has_classes=False)


LIFTS = st.builds(
    lambda limit, value, start, length: Lift(
        limit, Decimal(value), NOW + start * HOUR, None if length is None else NOW + (start + length) * HOUR
    ),
    st.integers(0, 3),
    st.integers(0, 100),
    st.integers(-5, 5),
    st.none() | st.integers(1, 8),
)


class TestLifted:
    @given(
        st.lists(st.integers(0, 100), min_size=1, max_size=4),
        st.lists(LIFTS, max_size=6),
        st.lists(st.integers(-12, 30), min_size=1),
    )
    def test_holds_the_highest_of_a_limit_and_its_grants_at_every_moment(
        self, values: list[int], raised: list[Lift], halves: list[int]
    ) -> None:
        moments = {moment for lift in raised for moment in (lift.starts_at, lift.ends_at) if moment}
        book, lifts = book_of(values), LiftBook(tuple(raised), tuple(sorted(moments)))

        for half in halves:
            at = NOW + half * HOUR / 2
            found = lifted(book, lifts, at=at)
            for number, value in enumerate(values):
                running = [
                    lift.value
                    for lift in raised
                    if lift.limit_id == number
                    and lift.starts_at <= at
                    and (lift.ends_at is None or at < lift.ends_at)
                ]
                assert found.by_id[number].value == max([Decimal(value), *running])
            in_chains = [facts for limits in found.by_owner.values() for facts in limits]
            assert {facts.id: facts for facts in in_chains} == found.by_id


@dataclass
class World:
    owner: Owner
    people: list[Actor]
    requesters: list[Actor]


class Requests(RuleBasedStateMachine):
    """Several people ask and decide in any order, time passes; what the domain refuses changes nothing."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.at = NOW
        self.final: dict[Any, str] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def attempt(self, work: Any) -> None:
        try:
            with transaction.atomic():
                work()
        except HalfpennyError:
            pass

    def newest(self) -> IncreaseRequest | None:
        return IncreaseRequest.objects.order_by("-submitted_at", "-pk").first()

    @rule(who=st.integers(0, 1), value=st.integers(500, 4000), days=st.none() | st.integers(1, 20))
    def ask(self, who: int, value: int, days: int | None) -> None:
        ends_at = None if days is None else self.at + timedelta(days=days)
        wish = make_wish(value, ends_at=ends_at)
        by = self.world.requesters[who]
        self.attempt(lambda: increases.create(self.world.owner, wish=wish, by=by, at=self.at))

    @rule(
        who=st.integers(0, 3),
        what=st.sampled_from(["approve", "approve", "deny", "question", "answer", "withdraw", "revoke"]),
        value=st.none() | st.integers(500, 4000),
    )
    def act(self, who: int, what: str, value: int | None) -> None:
        request, by = self.newest(), self.world.people[who]
        if request is None:
            return
        offer = Offer(granted=None if value is None else Decimal(value))
        works = {
            "approve": lambda: increase_decisions.approve(
                request, offer=offer, reason="So.", by=by, at=self.at
            ),
            "deny": lambda: increase_decisions.deny(request, reason="No.", by=by, at=self.at),
            "question": lambda: increase_decisions.ask(request, question="Why?", by=by, at=self.at),
            "answer": lambda: increase_decisions.answer(request, text="So.", by=by, at=self.at),
            "withdraw": lambda: increases.withdraw(request, by=by, at=self.at),
            "revoke": self._revoke(by),
        }
        self.attempt(works[what])

    def _revoke(self, by: Actor) -> Any:
        grant = Grant.objects.select_related("request").order_by("-pk").first()
        return lambda: grant and grants.revoke(grant, by=by, at=self.at, reason="So.")

    @rule(hours=st.integers(1, 400))
    def pass_time(self, hours: int) -> None:
        self.at += hours * HOUR
        increase_routine.tend(at=self.at)
        grants.follow_time(at=self.at)
        grants.warn_of_ends(at=self.at)

    @invariant()
    def one_is_open_and_what_is_final_stays(self) -> None:
        states = dict(IncreaseRequest.objects.values_list("pk", "state"))
        assert sum(state in OPEN for state in states.values()) <= 1
        for pk, state in self.final.items():
            assert states[pk] == state
        self.final = {pk: state for pk, state in states.items() if state not in OPEN}

    @invariant()
    def nobody_decided_their_own(self) -> None:
        for decision in IncreaseDecision.objects.select_related("request"):
            assert decision.decider_id != decision.request.requester_id

    @invariant()
    def what_people_granted_every_level_approved(self) -> None:
        for request in IncreaseRequest.objects.filter(state__in=["approved", "partially_approved"]):
            approved = request.decisions.filter(verdict="approved")
            assert [one.level for one in approved.order_by("pk")] == request.levels
            assert len({one.decider_id for one in approved}) == len(request.levels)
            assert request.granted == approved.latest("pk").granted

    @invariant()
    def the_limit_is_what_it_says_or_what_is_granted(self) -> None:
        if not Grant.objects.exists():
            return
        own = [
            one
            for one in queries.limits_of("subscription", self.world.owner.pk, at=self.at)
            if one.limit.window == "day"
        ]
        running = Grant.objects.filter(request__state__in=GRANTED, starts_at__lte=self.at)
        values = [g.value for g in running if g.lapses_at is None or g.lapses_at > self.at]
        for one in own:
            assert one.limit.limit_value <= one.value <= max([one.limit.limit_value, *values])
            if one.limit.is_default:
                assert one.value == max([one.limit.limit_value, *values])


@pytest.mark.django_db
def test_requests_keep_their_rules_in_any_order(cast: Cast, app: App) -> None:
    owner = owner_of_subscription(factories.make_subscription(app, cast.consumer_team))
    make_policy(cast, auto_max_percent=Decimal(10), capacity_review_above_percent=Decimal(50))
    factories.join(cast.approver, cast.consumer_team, "consumer")
    people = [actor_for(one) for one in (cast.finance, cast.operator, cast.approver, cast.consumer)]
    Requests.world = World(owner, people, [people[3], people[2]])

    run_state_machine_as_test(
        Requests, settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )  # type: ignore[no-untyped-call]
