"""Calls where limits have little room: what still goes, what is told, and what callers' own bounds are worth."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from django.utils import timezone

from marketplace.catalog.models import Version
from metering.models import LanguageModel, UsageEvent
from quotas.models import Hold, Limit, OverrunEntry
from quotas.usual_models import UsualUse
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MESSAGES = [{"role": "user", "content": "Summarize: The quick brown fox jumps over the lazy dog."}]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def listed(world: World, **fields: Any) -> None:
    """Change what runs, as a newly approved version would."""
    Version.objects.filter(app=world.app).update(state="draft")
    Version.objects.filter(app=world.app).update(**fields)
    Version.objects.filter(app=world.app).update(state="listed")


def chat(world: World, **fields: Any) -> urllib3.BaseHTTPResponse:
    body = {"model": "auto", "messages": MESSAGES} | fields
    headers = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"}
    return urllib3.request(
        "POST", f"{world.url}/v1/chat/completions", body=json.dumps(body), headers=headers, retries=False
    )


def limit(world: World, measure: str, value: str, **fields: Any) -> Limit:
    values: dict[str, Any] = {"window": "month", "starts_at": LONG_AGO, "team": world.subscription.team}
    if measure == "cost":
        values["currency"] = "USD"
    return Limit.objects.create(measure=measure, limit_value=Decimal(value), **values | fields)


class TestModelClass:
    def test_that_is_used_up_leaves_the_others(self, world: World) -> None:
        listed(world, allowed_models=["llm-8b", "llm-70b"])
        limit(world, "requests", "0", model_class="small")

        answer = chat(world)

        # llm-8b, the cheaper one, is small.
        assert (answer.status, answer.headers["x-halfpenny-model"]) == (200, "llm-70b")
        assert "medium models only" in answer.headers["x-halfpenny-route"]
        assert UsageEvent.objects.get().attribution.model == LanguageModel.objects.get(name="llm-70b")

    def test_refuses_when_nothing_else_may_be_used(self, world: World) -> None:
        limit(world, "requests", "0", model_class="small")

        answer = chat(world)

        error = answer.json()["error"]
        assert (answer.status, error["model_class"], error["measure"]) == (429, "small", "requests")
        assert "requests of small models a month of this team" in error["message"]
        assert not Hold.objects.exists()


class TestShortRoom:
    @pytest.fixture
    def learned(self, world: World) -> None:
        listed(world, max_output_tokens=2_000)
        UsualUse.objects.create(
            app=world.app, model=LanguageModel.objects.get(name="llm-8b"), calls=500, output_p99=40,
            tokens_p50=60, tokens_p95=90, cost_p50=0, cost_p95=0, learned_at=timezone.now(),
        )  # fmt: skip

    def test_is_enough_for_an_answer_of_the_usual_length(self, world: World, learned: None) -> None:
        limit(world, "tokens", "300")

        answer = chat(world)

        # 40 and a quarter more; the prompt is about 30.
        assert answer.status == 200
        assert UsageEvent.objects.get().output_tokens <= 50
        assert not OverrunEntry.objects.exists()

    def test_is_not_when_the_caller_says_how_long_it_may_be(self, world: World, learned: None) -> None:
        limit(world, "tokens", "300")

        assert chat(world, max_tokens=1_000).status == 429

    def test_does_not_shorten_answers_where_there_is_room(self, world: World, learned: None) -> None:
        budget = limit(world, "tokens", "100000")

        assert chat(world).status == 200
        (amount,) = (
            amount
            for hold in Hold.objects.all()
            for counter_id, amount in zip(hold.counter_ids, hold.amounts, strict=True)
            if budget.counters.filter(pk=counter_id).exists()
        )
        assert amount > 2_000


class TestRateLimitHeaders:
    def test_are_those_of_the_tightest_limit_on_answers_and_refusals(self, world: World) -> None:
        limit(world, "requests", "2", window="day")
        limit(world, "tokens", "100000", window="day")

        answers = [chat(world, max_tokens=10) for _ in range(3)]

        assert [each.status for each in answers] == [200, 200, 429]
        assert [each.headers["x-ratelimit-limit-requests"] for each in answers] == ["2", "2", "2"]
        assert [each.headers["x-ratelimit-remaining-requests"] for each in answers] == ["1", "0", "0"]
        for each in answers:
            assert each.headers["x-ratelimit-limit-tokens"] == "100000"
            assert 0 < int(each.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 86_400
        refused = answers[2].json()["error"]
        assert (refused["limit"], refused["used"]) == ("2", "2")
        assert refused["resets_at"].endswith("T00:00:00Z")
        assert int(answers[2].headers["retry-after"]) > 0

    def test_come_with_failures_of_the_provider_too(self, world: World) -> None:
        limit(world, "requests", "2", window="day")
        failing = [{"role": "user", "content": "[[demo:500]] hello"}]

        for fields in ({}, {"stream": True}):
            answer = chat(world, messages=failing, **fields)
            assert answer.status == 502
            assert answer.headers["x-ratelimit-limit-requests"] == "2"

    def test_leave_out_limits_that_are_still_to_begin(self, world: World) -> None:
        limit(world, "requests", "1", starts_at=timezone.now() + timedelta(days=1))

        answer = chat(world)

        assert answer.headers["x-ratelimit-limit-requests"] != "1"


class TestSoftLimit:
    def test_admits_and_says_that_it_is_exceeded(self, world: World) -> None:
        limit(world, "requests", "1", window="day", mode="soft")
        limit(world, "requests", "0", window="month", mode="warn")

        first, second = chat(world), chat(world)

        assert (first.status, second.status) == (200, 200)
        assert "x-halfpenny-over-limit" not in first.headers
        assert second.headers["x-halfpenny-over-limit"] == "team requests/day 2 of 1"


class TestWhatCallersSay:
    @pytest.mark.parametrize(
        ("said", "most"),
        [
            ({}, 60),  # nothing: the app's own bound
            ({"max_tokens": 1_000_000}, 60),
            ({"max_completion_tokens": 7}, 7),
            ({"max_completion_tokens": 7, "max_tokens": 50}, 7),
            ({"n": 3}, 180),
            ({"n": 3, "max_tokens": 10}, 30),
            ({"best_of": 4, "max_tokens": 10}, 40),
            ({"best_of": 4, "n": 2, "max_tokens": 10}, 40),
        ],
    )
    def test_is_held_in_full_and_never_exceeded(self, world: World, said: dict[str, int], most: int) -> None:
        listed(world, max_output_tokens=60)
        budget = limit(world, "tokens", "100000")

        assert chat(world, **said).status == 200

        event, hold = UsageEvent.objects.get(), Hold.objects.get()
        held = dict(zip(hold.counter_ids, hold.amounts, strict=True))[budget.counters.get().pk]
        assert held - event.input_tokens == most
        assert event.output_tokens <= most
        assert not OverrunEntry.objects.exists()

    @pytest.mark.parametrize(
        "said",
        [{"max_tokens": 0}, {"max_tokens": -5}, {"max_tokens": True}, {"n": 0}, {"n": 17}, {"best_of": 99}],
    )
    def test_is_refused_when_it_is_no_bound(self, world: World, said: dict[str, Any]) -> None:
        answer = chat(world, **said)

        assert answer.status == 400
        assert answer.json()["error"]["param"] == next(iter(said))
        assert not Hold.objects.exists()
