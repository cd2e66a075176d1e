"""Calls of an app with a policy, through the whole application."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from django.utils import timezone

from marketplace.catalog.models import Version
from marketplace.core.ids import uuid7
from marketplace.gateway.routing_models import DearModel, DearRule, RouteFeedback, RouteLearning, RoutePolicy
from metering.models import LanguageModel, UsageEvent
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SMALL = {"intents": ["summary"], "tokens_below": 512, "use": "small"}
STRONG = {"use": "strongest"}
PROMPT = "Summarize: The quick brown fox jumps over the lazy dog."


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        world = make_world(cast, url)
        Version.objects.filter(app=world.app).update(state="draft")
        Version.objects.filter(app=world.app).update(allowed_models=["llm-8b", "llm-70b"], template="blank")
        Version.objects.filter(app=world.app).update(state="listed")
        yield world


def policy(world: World, cast: Cast, *rows: Any, **fields: Any) -> RoutePolicy:
    values = {"mode": "all", "number": 1, "saved_by": cast.creator, "saved_at": timezone.now()}
    return RoutePolicy.objects.create(app=world.app, rows=list(rows), **values | fields)


def send(world: World, path: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"} | headers
    return urllib3.request(
        "POST", f"{world.url}{path}", body=json.dumps(body), headers=headers, retries=False, timeout=30
    )


def chat(
    world: World, text: str = PROMPT, *, model: str = "auto", **headers: str
) -> urllib3.BaseHTTPResponse:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return send(world, "/v1/chat/completions", body, **headers)


class TestPolicy:
    def test_decides_and_says_why(self, world: World, cast: Cast) -> None:
        policy(world, cast, SMALL, STRONG)

        small, strong = chat(world), chat(world, "Tell me a joke.", **{"X-Halfpenny-Intent": "jokes"})

        assert small.headers["x-halfpenny-model"] == "llm-8b"
        assert (
            small.headers["x-halfpenny-route"] == "row 1: summary under 512 tokens -> small; the only offer"
        )
        assert strong.headers["x-halfpenny-model"] == "llm-70b"
        assert strong.headers["x-halfpenny-route"] == "row 2: any call -> strongest; the only offer"
        tags = UsageEvent.objects.get(event_id=strong.headers["x-request-id"]).tags
        assert tags == {
            "halfpenny.policy": "1",
            "halfpenny.intent": "jokes",
            "halfpenny.route": "row 2: any call -> strongest; the only offer",
        }

    def test_hears_what_a_run_of_the_app_is_for(self, world: World, cast: Cast) -> None:
        policy(world, cast, {"intents": ["jokes"], "use": "strongest"}, {"use": "small"})
        body = {"input": {"text": "Send me the report."}}

        plain, told = (
            send(world, "/apps/where2eat/run", body, **headers)
            for headers in ({}, {"X-Halfpenny-Intent": "jokes"})
        )

        assert plain.headers["x-halfpenny-model"] == "llm-8b"
        assert told.headers["x-halfpenny-model"] == "llm-70b"

    def test_in_shadow_only_notes_what_it_would_do(self, world: World, cast: Cast) -> None:
        policy(world, cast, STRONG, mode="shadow")

        answer = chat(world)

        event = UsageEvent.objects.get()
        assert answer.headers["x-halfpenny-model"] == "llm-8b"
        assert event.tags["halfpenny.would"] == "llm-70b"
        # llm-70b costs 0.90 a million tokens, in and out.
        used = event.input_tokens + event.output_tokens
        assert Decimal(event.tags["halfpenny.would_cost"]) == used * Decimal("0.0000009")

    def test_leaves_named_models_alone(self, world: World, cast: Cast) -> None:
        policy(world, cast, SMALL)

        assert chat(world, model="llm-70b").headers["x-halfpenny-model"] == "llm-70b"

    def test_sends_what_is_hard_or_unknown_to_the_strong_model(self, world: World, cast: Cast) -> None:
        policy(world, cast, {"use": "auto"}, quality_floor=90)

        easy, unknown = (
            chat(world, "What color is the sky on a sunny day? Answer in one word."),
            chat(world, "Hi"),
        )

        assert easy.headers["x-halfpenny-model"] == "llm-8b"
        assert "difficulty" in easy.headers["x-halfpenny-route"]
        assert unknown.headers["x-halfpenny-model"] == "llm-70b"
        assert "unsure" in unknown.headers["x-halfpenny-route"]

    def test_gives_way_to_measured_quality(self, world: World, cast: Cast) -> None:
        policy(world, cast, SMALL, quality_floor=95)
        RouteLearning.objects.create(
            app=world.app, is_strong_only=True, quality=81, learned_at=timezone.now()
        )

        answer = chat(world)

        assert answer.headers["x-halfpenny-model"] == "llm-70b"
        assert "measured quality 81 % is under the floor of 95 %" in answer.headers["x-halfpenny-route"]

    def test_refuses_an_intent_that_is_none(self, world: World) -> None:
        answer = chat(world, **{"X-Halfpenny-Intent": "Sum it up!"})

        assert (answer.status, answer.json()["error"]["param"]) == (400, "x-halfpenny-intent")
        assert not Hold.objects.exists()


class TestDearModel:
    @pytest.fixture(autouse=True)
    def rule(self, world: World, cast: Cast) -> None:
        now = timezone.now()
        DearRule.objects.create(
            model_classes=[],
            output_per_mtok_from="0.90",
            starts_at=now,
            set_at=now,
            set_by=cast.operator,
            reason="x",
        )

    def test_is_left_out_and_refused_by_name(self, world: World, cast: Cast) -> None:
        policy(world, cast, STRONG)

        chosen, named = chat(world), chat(world, model="llm-70b")

        assert chosen.headers["x-halfpenny-model"] == "llm-8b"
        assert (named.status, named.json()["error"]["code"]) == (403, "model_not_approved")
        assert Hold.objects.count() == 1

    def test_is_used_once_approved(self, world: World, cast: Cast) -> None:
        policy(world, cast, STRONG)
        DearModel.objects.create(
            app=world.app, model=LanguageModel.objects.get(name="llm-70b"), state="approved", reason="x",
            proposed_by=cast.creator, proposed_at=timezone.now(), decided_by=cast.approver, decided_at=timezone.now(),
        )  # fmt: skip

        assert chat(world).headers["x-halfpenny-model"] == "llm-70b"


class TestFeedback:
    def test_is_kept_once_for_a_request(self, world: World, cast: Cast) -> None:
        policy(world, cast, SMALL)
        request_id = chat(world).headers["x-request-id"]

        answers = [
            send(world, "/v1/feedback", {"request_id": request_id, "rating": rating})
            for rating in ("up", "down")
        ]

        assert [answer.status for answer in answers] == [200, 200]
        kept = RouteFeedback.objects.get()
        assert (kept.event_id, kept.is_good, kept.is_strong, kept.intent) == (
            request_id,
            False,
            False,
            "summary",
        )

    def test_is_of_requests_of_the_subscription(self, world: World, cast: Cast) -> None:
        other = factories.make_subscription(world.app, cast.creator_team)
        request_id = chat(world).headers["x-request-id"]
        attribution = UsageEvent.objects.get().attribution
        type(attribution).objects.filter(pk=attribution.pk).update(subscription=other)

        assert send(world, "/v1/feedback", {"request_id": request_id, "rating": "up"}).status == 404
        assert send(world, "/v1/feedback", {"request_id": str(uuid7()), "rating": "up"}).status == 404

    @pytest.mark.parametrize(
        "body", [{}, {"request_id": "x"}, {"request_id": "x", "rating": "great"}, {"request_id": 1}]
    )
    def test_names_what_is_wrong(self, world: World, body: Any) -> None:
        assert send(world, "/v1/feedback", body).status == 400
        assert not RouteFeedback.objects.exists()
