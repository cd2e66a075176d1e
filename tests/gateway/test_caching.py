"""Answers that are not bought twice, through the running application."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from django.utils import timezone

from marketplace.gateway.saving_models import CachedAnswer, CallSaving
from metering.models import UsageEvent
from quotas.models import Hold, Limit
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MESSAGES = [{"role": "user", "content": "Summarize: The quick brown fox jumps over the lazy dog."}]
pool = urllib3.PoolManager(maxsize=64, block=True)


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        world = make_world(cast, url)
        CallSaving.objects.create(app=world.app, ttl_s=600, changed_at=LONG_AGO)
        yield world


def chat(world: World, *, headers: dict[str, str] | None = None, **fields: Any) -> urllib3.BaseHTTPResponse:
    body = {"model": "auto", "messages": MESSAGES, "temperature": 0} | fields
    sent = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"}
    return pool.request(
        "POST",
        f"{world.url}/v1/chat/completions",
        body=json.dumps(body),
        headers=sent | (headers or {}),
        retries=False,
    )


def outcome(answer: urllib3.BaseHTTPResponse) -> str:
    assert answer.status == 200, answer.data
    return answer.headers["x-halfpenny-cache"]


def bought(answer: urllib3.BaseHTTPResponse) -> UsageEvent:
    return UsageEvent.objects.get(event_id=answer.headers["x-request-id"])


class TestSameQuestion:
    def test_is_bought_once_and_served_twice(self, world: World) -> None:
        first, second = chat(world), chat(world)

        assert (outcome(first), outcome(second)) == ("miss", "hit")
        assert second.data == first.data
        paid, free = bought(first), bought(second)
        assert paid.cost > 0
        assert set(paid.tags or {}) == {"halfpenny.route"}
        # A hit is a call, without tokens or cost; what was served and saved stands beside it.
        assert (free.requests, free.input_tokens, free.output_tokens, free.cost) == (1, 0, 0, 0)
        assert free.tags == {
            "halfpenny.saved_by": "cache",
            "halfpenny.saved_cost": format(paid.cost.normalize(), "f"),
            "halfpenny.served_input_tokens": str(paid.input_tokens),
            "halfpenny.served_output_tokens": str(paid.output_tokens),
        }
        assert second.headers["x-halfpenny-cost"] == "0"
        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}

    def test_counts_as_a_call_against_limits_but_uses_no_tokens(self, world: World) -> None:
        team = {"team": world.subscription.team, "starts_at": LONG_AGO}
        chat(world)
        calls = Limit.objects.create(measure="requests", window="month", limit_value=Decimal(2), **team)
        tokens = Limit.objects.create(measure="tokens", window="month", limit_value=Decimal(0), **team)

        answers = [chat(world) for _ in range(3)]

        assert [answer.status for answer in answers] == [200, 200, 429]
        assert calls.counters.get().spent == 2
        assert tokens.counters.get().spent == 0

    def test_is_found_by_another_process(self, world: World) -> None:
        first = chat(world)

        with running_application() as url:
            second = chat(World(url, world.app, world.subscription, world.sub_key, world.app_key))

        assert (outcome(first), outcome(second)) == ("miss", "hit")

    def test_is_streamed_to_who_wants_a_stream(self, world: World) -> None:
        whole = chat(world)
        stream = chat(world, stream=True, stream_options={"include_usage": True})

        assert outcome(stream) == "hit"
        events = [line[6:] for line in stream.data.decode().split("\n\n") if line]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        text = "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"])
        assert text == whole.json()["choices"][0]["message"]["content"]
        assert chunks[-1]["usage"] == whole.json()["usage"]
        assert bought(stream).cost == 0

    def test_is_kept_from_a_stream(self, world: World) -> None:
        stream, whole = chat(world, stream=True), chat(world)

        assert (outcome(stream), outcome(whole)) == ("miss", "hit")
        said = whole.json()["choices"][0]
        assert said["finish_reason"] == "stop"
        assert said["message"]["content"] in "".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            for line in stream.data.decode().split("\n\n")
            if line.startswith("data: {") and json.loads(line[6:])["choices"]
        )

    def test_of_64_callers_at_once_is_bought_once(self, world: World) -> None:
        slow = [{"role": "user", "content": "[[demo:slow:400]] What does everybody ask at once?"}]
        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(lambda _: chat(world, messages=slow), range(64)))

        assert Counter(map(outcome, answers)) == {"miss": 1, "hit": 63}
        assert len({answer.data for answer in answers}) == 1
        assert UsageEvent.objects.count() == 64
        assert UsageEvent.objects.filter(cost__gt=0).count() == 1


class TestNotKept:
    @pytest.mark.parametrize(
        "fields",
        [
            {"temperature": 0.7},
            {"temperature": None},
            {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]},
            {"n": 2},
            {"headers": {"X-Halfpenny-Cache": "no-store"}},
        ],
    )
    def test_is_what_may_differ_or_was_asked_for_anew(self, world: World, fields: dict[str, Any]) -> None:
        answers = [chat(world, **fields) for _ in range(2)]

        assert [outcome(answer) for answer in answers] == ["bypass", "bypass"]
        assert all(bought(answer).cost > 0 for answer in answers)
        assert not CachedAnswer.objects.exists()

    def test_is_an_answer_that_was_cut_off(self, world: World) -> None:
        answers = [chat(world, max_tokens=1) for _ in range(2)]

        assert [answer.json()["choices"][0]["finish_reason"] for answer in answers] == ["length", "length"]
        assert [outcome(answer) for answer in answers] == ["miss", "miss"]

    def test_is_anything_of_an_app_that_has_not_opted_in(self, world: World) -> None:
        CallSaving.objects.update(ttl_s=None)

        assert [outcome(chat(world)) for _ in range(2)] == ["bypass", "bypass"]

    def test_is_a_failure_and_who_waited_goes_on_alone(self, world: World) -> None:
        failing = [{"role": "user", "content": "[[demo:500]] hello"}]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: chat(world, messages=failing), range(4)))

        assert [answer.status for answer in answers] == [502] * 4
        assert not UsageEvent.objects.exists()
        assert outcome(chat(world)) == "miss"


class TestForgotten:
    def test_by_a_purge_in_every_process(self, world: World) -> None:
        assert [outcome(chat(world)) for _ in range(2)] == ["miss", "hit"]

        CallSaving.objects.update(generation=2)

        assert [outcome(chat(world)) for _ in range(2)] == ["miss", "hit"]

    def test_at_its_end(self, world: World) -> None:
        chat(world)
        past = timezone.now() - timedelta(seconds=1)
        CachedAnswer.objects.update(kept_at=past - timedelta(minutes=10), expires_at=past)

        with running_application() as url:
            again = chat(World(url, world.app, world.subscription, world.sub_key, world.app_key))

        assert outcome(again) == "miss"
