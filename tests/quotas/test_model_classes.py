"""Limits that count one class of models: llm-8b is small, llm-70b is large."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from msgspec.structs import replace

from marketplace.accounts.access import actor_for
from marketplace.core.ids import uuid7
from metering.attribution import Dimensions
from metering.models import UsageEvent
from quotas import admission, corrections, holds, limits, queries
from quotas.admission import Admitted, Estimate, HoldRequest, Refused, Settlement
from quotas.limits import Terms
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from quotas.owners import owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage


@pytest.fixture
def large(who: Dimensions) -> Limit:
    """At most 1,000 tokens of large models a day; nothing else is limited."""
    factories.make_model("llm-70b", input_price="0.90", output_price="0.90", model_class="large")
    Limit.objects.update(ends_at=LONG_AGO)
    return make_limit(who, limit_value=1_000, model_class="large")


def make_limit(who: Dimensions, **fields: Any) -> Limit:
    values = {"measure": "tokens", "window": "day", "starts_at": LONG_AGO, "team_id": who.team_id}
    return Limit.objects.create(**values | fields)


def ask(who: Dimensions, *options: Estimate, model: str = "llm-8b") -> HoldRequest:
    hold_id = uuid7()
    usage = replace(make_usage(who, str(hold_id), tokens=100), model=model)
    return HoldRequest(hold_id, usage, options[0], NOW + timedelta(minutes=5), options[1:])


def estimate(tokens: int, *classes: str, model: str = "") -> Estimate:
    return Estimate(tokens, Decimal("0.001"), classes, model)


def counted(limit: Limit) -> tuple[Decimal, Decimal, Decimal]:
    row = LimitCounter.objects.filter(limit=limit).first()
    return (row.spent, row.held, row.overrun) if row else (Decimal(0), Decimal(0), Decimal(0))


class TestReserve:
    def test_holds_of_each_class_that_a_call_may_come_to(self, who: Dimensions, large: Limit) -> None:
        small = make_limit(who, limit_value=5_000, model_class="small")

        admission.reserve([ask(who, estimate(600, "small", "large"))], at=NOW)

        assert counted(large) == (0, 600, 0)
        assert counted(small) == (0, 600, 0)

    def test_leaves_limits_of_other_classes_alone(self, who: Dimensions, large: Limit) -> None:
        answers = admission.reserve([ask(who, estimate(5_000, "small"))], at=NOW)

        assert isinstance(answers[0], Admitted)
        assert counted(large) == (0, 0, 0)

    def test_refuses_when_its_class_has_no_room(self, who: Dimensions, large: Limit) -> None:
        answers = admission.reserve(
            [ask(who, estimate(600, "large")), ask(who, estimate(401, "large"))], at=NOW
        )

        assert [type(each) for each in answers] == [Admitted, Refused]
        refused = answers[1]
        assert isinstance(refused, Refused)
        assert refused.standing.limit.id == large.pk

    def test_takes_the_first_alternative_that_has_room(self, who: Dimensions, large: Limit) -> None:
        asked = ask(
            who,
            estimate(1_001, "large", "small"),
            estimate(1_001, "large"),
            estimate(1_001, "small", model="llm-8b"),
            model="llm-70b",
        )

        answer = admission.reserve([asked], at=NOW)[0]

        assert isinstance(answer, Admitted)
        assert answer.choice == 2
        hold = Hold.objects.get()
        assert (hold.counter_ids, hold.usage["model"]) == ([], "llm-8b")

    def test_says_which_limit_refuses_the_last_alternative(self, who: Dimensions, large: Limit) -> None:
        asked = ask(who, estimate(5_000, "large"), estimate(2_000, "large"))

        answer = admission.reserve([asked], at=NOW)[0]

        assert isinstance(answer, Refused)
        assert answer.asked == 2_000


class TestSettle:
    def test_counts_only_in_the_class_that_answered(self, who: Dimensions, large: Limit) -> None:
        small = make_limit(who, limit_value=5_000, model_class="small")
        every = make_limit(who, limit_value=5_000)
        asked = ask(who, estimate(600, "small", "large"))
        admission.reserve([asked], at=NOW)

        admission.settle([Settlement(asked.id, replace(asked.usage, model="llm-70b"))], at=NOW)

        assert counted(large) == (100, 0, 0)
        assert counted(small) == (0, 0, 0)
        assert counted(every) == (100, 0, 0)
        assert not OverrunEntry.objects.exists()

    def test_counts_what_an_app_elsewhere_used_of_a_class_that_nobody_foresaw(
        self, who: Dimensions, large: Limit
    ) -> None:
        asked = ask(who, Estimate(0, Decimal(0)), model="")
        admission.reserve([asked], at=NOW)

        admission.settle([Settlement(asked.id, replace(asked.usage, model="llm-70b"))], at=NOW)

        assert counted(large) == (100, 0, 0)
        assert OverrunEntry.objects.get().amount == 100

    def test_counts_once_when_the_limit_is_in_the_hold(self, who: Dimensions, large: Limit) -> None:
        asked = ask(who, estimate(600, "large"), model="llm-70b")
        admission.reserve([asked], at=NOW)

        for _ in range(2):
            admission.settle([Settlement(asked.id, asked.usage)], at=NOW)

        assert counted(large) == (100, 0, 0)

    def test_books_the_class_of_a_hold_whose_process_died(self, who: Dimensions, large: Limit) -> None:
        asked = ask(who, estimate(600, "large", "small"), model="llm-70b")
        admission.reserve([asked], at=NOW)

        holds.sweep(at=NOW + timedelta(minutes=6))

        assert counted(large) == (100, 0, 0)


class TestReport:
    def test_counts_in_the_class_of_its_model(self, who: Dimensions, large: Limit) -> None:
        small = make_limit(who, limit_value=300, model_class="small")

        admission.report(
            [
                make_usage(who, "a", tokens=400),
                replace(make_usage(who, "b", tokens=50), model="llm-70b"),
                make_usage(who, "c", tokens=5),
            ],
            at=NOW,
        )

        assert counted(large) == (50, 0, 0)
        assert counted(small) == (300, 0, 105)


class TestCorrection:
    def test_moves_the_class_of_its_event(self, cast: Cast, who: Dimensions, large: Limit) -> None:
        small = make_limit(who, limit_value=300, model_class="small")
        operator = actor_for(cast.operator)
        admission.report([replace(make_usage(who, "b", tokens=50), model="llm-70b")], at=NOW)

        event = UsageEvent.objects.get()
        corrections.void(event, reason="was a test", by=operator, at=NOW)

        assert counted(large) == (0, 0, 0)
        assert counted(small) == (0, 0, 0)


class TestSetLimit:
    def test_stands_beside_the_limit_of_all_models(self, cast: Cast, who: Dimensions, large: Limit) -> None:
        team, operator = owner_of("team", cast.consumer_team), actor_for(cast.operator)

        every, _ = limits.set_limit(team, terms=Terms("tokens", "day", Decimal(900)), by=operator, at=NOW)
        same, is_new = limits.set_limit(
            team, terms=Terms("tokens", "day", Decimal(800), model_class="large"), by=operator, at=NOW
        )

        assert (same.pk, is_new) == (large.pk, False)
        assert every.pk != large.pk

    def test_knows_what_its_class_has_used(self, cast: Cast, who: Dimensions, large: Limit) -> None:
        admission.report(
            [
                make_usage(who, "a", tokens=400),
                replace(make_usage(who, "b", tokens=50), model="llm-70b"),
            ],
            at=NOW,
        )

        limit, _ = limits.set_limit(
            owner_of("team", cast.consumer_team),
            terms=Terms("tokens", "month", Decimal(900), model_class="large"),
            by=actor_for(cast.operator),
            at=NOW + timedelta(minutes=1),
        )

        assert counted(limit) == (50, 0, 0)

    def test_is_the_only_one_of_its_kind_at_any_moment(self, who: Dimensions, large: Limit) -> None:
        make_limit(who, limit_value=5, model_class="small")
        with pytest.raises(IntegrityError, match="limit_one_of_team"), transaction.atomic():
            make_limit(who, limit_value=5, model_class="large")

    def test_knows_no_other_classes(self, who: Dimensions) -> None:
        with pytest.raises(IntegrityError, match="limit_model_class_known"), transaction.atomic():
            make_limit(who, limit_value=5, model_class="huge")


class TestEffective:
    def test_compares_with_limits_of_all_models(self, cast: Cast, who: Dimensions, large: Limit) -> None:
        every = make_limit(who, limit_value=500)

        effective = queries.effective(owner_of("team", cast.consumer_team), at=NOW)

        # 500 of all models leave less than 1,000 of large ones; nobody else's calls are bound by the class.
        assert effective["tokens", "day", "large"].limit.pk == every.pk
        assert effective["tokens", "day", ""].limit.pk == every.pk
