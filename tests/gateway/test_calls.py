"""Calls from outside, over HTTP, with OpenAI's own client, against the whole application."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import openai
import pytest
import urllib3
from django.utils import timezone

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import Subscription, Version
from marketplace.core.models import Job
from marketplace.gateway.models import IdempotentCall
from metering import rollups
from metering.models import EventConflict, UsageEvent, UsageRollup
from quotas.models import Hold, Limit
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.live import World, make_models, make_world, running_application
from tests.races.processes import until
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MESSAGES = [{"role": "user", "content": "Summarize: The quick brown fox jumps over the lazy dog."}]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def client(world: World, key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{world.url}/v1", api_key=key or world.sub_key, max_retries=0)


def post(world: World, path: str, body: object, *, key: str, **headers: str) -> urllib3.BaseHTTPResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers
    return urllib3.request("POST", world.url + path, body=data, headers=sent, retries=False)


def settled() -> UsageEvent:
    assert not Hold.objects.filter(state="held").exists()
    assert rollups.differences() == []
    return UsageEvent.objects.get()


class TestChatCompletions:
    def test_answers_and_meters_what_the_provider_reports(self, world: World) -> None:
        raw = client(world).chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES, max_tokens=50
        )
        answer = raw.parse()

        event = settled()
        assert answer.choices[0].message.content
        assert (event.input_tokens, event.output_tokens) == (
            answer.usage.prompt_tokens,
            answer.usage.completion_tokens,
        )
        assert raw.headers["x-request-id"] == event.event_id
        assert raw.headers["x-halfpenny-model"] == "llm-8b"
        assert Decimal(raw.headers["x-halfpenny-cost"]) == event.cost > 0
        assert raw.headers["x-ratelimit-limit-requests"] == "1000"
        assert raw.headers["x-ratelimit-remaining-requests"] == "999"

    def test_streams_and_meters_the_same(self, world: World) -> None:
        whole = client(world).chat.completions.create(model="auto", messages=MESSAGES, max_tokens=50)
        stream = client(world).chat.completions.create(
            model="auto", messages=MESSAGES, max_tokens=50, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

        assert text == whole.choices[0].message.content
        first, second = UsageEvent.objects.order_by("received_at")
        assert (first.input_tokens, first.output_tokens) == (second.input_tokens, second.output_tokens)
        assert not Hold.objects.filter(state="held").exists()

    def test_gives_usage_in_the_last_chunk_when_asked(self, world: World) -> None:
        stream = client(world).chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )

        usage = [chunk.usage for chunk in stream if chunk.usage]
        assert usage[0].total_tokens == settled().input_tokens + settled().output_tokens

    def test_settles_a_stream_whose_caller_has_gone(self, world: World) -> None:
        stream = client(world).chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
        wait_until(lambda: not Hold.objects.filter(state="held").exists())

        assert settled().input_tokens > 0

    def test_refuses_over_the_daily_limit_and_says_when_it_resets(self, world: World) -> None:
        Limit.objects.filter(subscription=world.subscription, window="day").update(limit_value=1)
        client(world).chat.completions.create(model="auto", messages=MESSAGES)

        with pytest.raises(openai.RateLimitError) as caught:
            client(world).chat.completions.create(model="auto", messages=MESSAGES)

        error = caught.value.body
        assert isinstance(error, dict)
        assert (error["code"], error["limit"], error["used"]) == ("quota_exceeded", "1", "1")
        assert (error["owner_kind"], error["measure"], error["window"]) == ("subscription", "requests", "day")
        assert error["resets_at"].endswith("T00:00:00Z")
        assert int(caught.value.response.headers["retry-after"]) > 0
        assert UsageEvent.objects.count() == 1

    def test_refuses_over_a_budget_with_402(self, world: World) -> None:
        Limit.objects.create(
            cost_center=world.subscription.cost_center,
            measure="cost",
            window="month",
            currency="USD",
            limit_value=Decimal("0.000001"),
            starts_at=world.subscription.starts_at,
        )

        with pytest.raises(openai.APIStatusError) as caught:
            client(world).chat.completions.create(model="auto", messages=MESSAGES)

        assert caught.value.status_code == 402
        assert caught.value.body["code"] == "budget_exceeded"
        assert not UsageEvent.objects.exists()

    def test_clamps_the_output_to_the_apps_limit(self, world: World) -> None:
        Version.objects.filter(app=world.app).update(state="draft")
        Version.objects.filter(app=world.app).update(max_output_tokens=3)
        Version.objects.filter(app=world.app).update(state="listed")

        client(world).chat.completions.create(model="auto", messages=MESSAGES, max_tokens=5000)

        assert settled().output_tokens <= 3

    @pytest.mark.parametrize(
        ("model", "status", "code"),
        [("llm-secret", 403, "model_not_approved"), ("no-such", 404, "model_not_found")],
    )
    def test_refuses_models_the_app_may_not_use(
        self, world: World, model: str, status: int, code: str
    ) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            client(world).chat.completions.create(model=model, messages=MESSAGES)

        assert (caught.value.status_code, caught.value.body["code"]) == (status, code)
        assert not Hold.objects.exists()

    def test_costs_nothing_when_the_provider_fails(self, world: World) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            client(world).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "[[demo:500]] hello"}]
            )

        assert caught.value.status_code == 502
        assert Hold.objects.get().state == "released"
        assert not UsageEvent.objects.exists()

    def test_gives_the_first_answer_again_for_an_idempotency_key(self, world: World) -> None:
        body = {"model": "auto", "messages": MESSAGES}
        answers = [
            post(world, "/v1/chat/completions", body, key=world.sub_key, **{"Idempotency-Key": "k1"})
            for _ in range(2)
        ]
        other = post(
            world, "/v1/chat/completions", body | {"n": 2}, key=world.sub_key, **{"Idempotency-Key": "k1"}
        )

        assert answers[0].data == answers[1].data
        assert other.status == 409
        assert settled()

    def test_streams_once_for_an_idempotency_key(self, world: World) -> None:
        body = {"model": "auto", "messages": MESSAGES, "stream": True}

        first, second = [
            post(world, "/v1/chat/completions", body, key=world.sub_key, **{"Idempotency-Key": "s1"})
            for _ in range(2)
        ]
        other = post(
            world, "/v1/chat/completions", body | {"n": 2}, key=world.sub_key, **{"Idempotency-Key": "s1"}
        )

        assert first.data == second.data
        assert first.data.endswith(b"data: [DONE]\n\n")
        assert second.headers["Content-Type"].startswith("text/event-stream")
        assert second.headers["x-request-id"] == first.headers["x-request-id"]
        assert (second.headers["x-halfpenny-idempotent-replay"], other.status) == ("true", 409)
        assert settled()

    def test_queues_a_run_once_for_an_idempotency_key(self, world: World) -> None:
        path, key = "/apps/where2eat/run?async=1", {"Idempotency-Key": "j" * 200}
        texts = ("soup", "soup", "salad")

        first, second, other = [
            post(world, path, {"input": {"text": text}}, key=world.sub_key, **key) for text in texts
        ]

        assert (first.status, second.status, other.status) == (202, 202, 409)
        assert first.json()["job"] == second.json()["job"]
        assert Job.objects.filter(name="gateway.run_app").count() == 1

    def test_frees_the_key_of_a_call_whose_process_died(self, world: World) -> None:
        body = {"model": "auto", "messages": MESSAGES}
        first = post(world, "/v1/chat/completions", body, key=world.sub_key, **{"Idempotency-Key": "k1"})
        calls = IdempotentCall.objects.all()
        calls.update(status=None, answer=None, created_at=timezone.now() - timedelta(minutes=59))

        running = post(world, "/v1/chat/completions", body, key=world.sub_key, **{"Idempotency-Key": "k1"})
        calls.update(created_at=timezone.now() - timedelta(minutes=61))
        again = post(world, "/v1/chat/completions", body, key=world.sub_key, **{"Idempotency-Key": "k1"})

        assert (first.status, running.status, again.status) == (200, 409, 200)
        assert calls.get().status == 200

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            (b"not json", None),
            ({"model": "auto"}, "messages"),
            ({"messages": MESSAGES}, "model"),
            ({"model": "auto", "messages": MESSAGES, "max_tokens": -1}, "max_tokens"),
            ({"model": "auto", "messages": MESSAGES, "stream": "yes"}, "stream"),
            ({"model": "auto", "messages": MESSAGES, "n": 1000}, "n"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, world: World, body: object, param: str | None) -> None:
        answer = post(world, "/v1/chat/completions", body, key=world.sub_key)

        assert answer.status == 400
        assert answer.json()["error"]["param"] == param


class TestKeys:
    @pytest.mark.parametrize("key", ["", "nonsense", "hp_sub_unknown_secret"])
    def test_a_wrong_key_gets_401(self, world: World, key: str) -> None:
        answer = post(world, "/v1/chat/completions", {"model": "auto", "messages": MESSAGES}, key=key)

        assert answer.status == 401
        assert answer.json()["error"]["type"] == "authentication_error"

    def test_an_app_key_may_not_call_and_a_subscription_key_may_not_report(self, world: World) -> None:
        assert post(world, "/v1/chat/completions", {"model": "auto"}, key=world.app_key).status == 401
        assert post(world, "/meter", {"app_id": "where2eat"}, key=world.sub_key).status == 401

    def test_a_revoked_key_stops_at_once(self, world: World) -> None:
        client(world).chat.completions.create(model="auto", messages=MESSAGES)
        key = ApiKey.objects.get(subscription_key__subscription=world.subscription)

        keys.revoke(key, at=NOW, by=None)

        with pytest.raises(openai.AuthenticationError):
            client(world).chat.completions.create(model="auto", messages=MESSAGES)

    def test_a_suspended_subscription_stops_at_once(self, world: World) -> None:
        client(world).chat.completions.create(model="auto", messages=MESSAGES)
        Subscription.objects.update(state="suspended")

        with pytest.raises(openai.APIStatusError) as caught:
            client(world).chat.completions.create(model="auto", messages=MESSAGES)

        assert (caught.value.status_code, caught.value.body["code"]) == (402, "payment_required")


class TestEmbeddingsAndModels:
    def test_lists_what_the_subscription_may_name(self, world: World) -> None:
        assert [model.id for model in client(world).models.list()] == ["auto", "llm-8b"]

    def test_meters_embeddings(self, world: World) -> None:
        Version.objects.filter(app=world.app).update(state="draft")
        Version.objects.filter(app=world.app).update(allowed_models=["llm-8b", "embed-small"])
        Version.objects.filter(app=world.app).update(state="listed")

        answer = client(world).embeddings.create(model="embed-small", input=["one", "two"])

        assert len(answer.data) == 2
        assert settled().input_tokens == answer.usage.prompt_tokens


class TestRunApp:
    def test_runs_a_hosted_app_by_its_input(self, world: World) -> None:
        answer = post(
            world, "/apps/where2eat/run", {"input": {"text": "Send me the report."}}, key=world.sub_key
        )

        body = answer.json()
        assert answer.status == 200
        assert body["output"]
        assert Decimal(body["cost"]) == settled().cost
        assert body["usage"]["input_tokens"] == settled().input_tokens

    def test_names_the_input_that_is_wrong(self, world: World) -> None:
        answer = post(world, "/apps/where2eat/run", {"input": {"txt": "x"}}, key=world.sub_key)

        assert answer.status == 400
        assert {error["field"] for error in answer.json()["errors"]} == {"text", "txt"}
        assert not Hold.objects.exists()

    def test_does_not_know_another_app(self, world: World) -> None:
        assert post(world, "/apps/elsewhere/run", {"input": {}}, key=world.sub_key).status == 404


class TestMeter:
    def test_takes_one_event_and_tells_its_cost(self, world: World) -> None:
        event = {"id": "a1", "app_id": "where2eat", "owner": "team-ux", "model": "llm-8b", "tokens": 480}

        answer = post(world, "/meter?receipts=all", event, key=world.app_key)
        again = post(world, "/meter", event, key=world.app_key)
        other = post(world, "/meter", event | {"tokens": 481}, key=world.app_key)

        assert (answer.status, answer.json()["accepted"]) == (200, 1)
        assert answer.json()["results"][0]["cost"] == "0.000096"
        assert (again.status, again.json()["duplicates"]) == (200, 1)
        assert (other.status, other.json()["conflicts"]) == (207, 1)
        assert settled().input_tokens == 480
        assert EventConflict.objects.count() == 1

    def test_tells_the_ids_that_it_made(self, world: World) -> None:
        events = [
            {"id": "mine", "app_id": "where2eat", "model": "llm-8b", "tokens": 1},
            {"app_id": "where2eat", "model": "llm-8b", "tokens": 2},
        ]

        [made] = post(world, "/meter", events, key=world.app_key).json()["results"]

        assert (made["index"], made["status"]) == (1, "accepted")
        assert UsageEvent.objects.get(event_id=made["id"]).input_tokens == 2

    def test_lets_people_see_that_its_key_is_in_use(self, world: World) -> None:
        key = keys.authenticate(world.app_key, at=timezone.now())
        assert key.last_used_at is None

        post(world, "/meter", {"app_id": "where2eat", "model": "llm-8b", "tokens": 1}, key=world.app_key)
        until(lambda: ApiKey.objects.get(pk=key.pk).last_used_at is not None)

    def test_takes_the_good_and_names_what_is_wrong_with_the_bad(self, world: World) -> None:
        events = [
            {"id": "1", "app_id": "where2eat", "model": "llm-8b", "tokens": 10},
            {"id": "2", "app_id": "elsewhere", "model": "llm-8b", "tokens": 10},
            {"id": "3", "app_id": "where2eat", "model": "nobody-knows", "tokens": 10},
            {"id": "4", "app_id": "where2eat", "model": "llm-8b", "tokens": -1},
            {
                "id": "5",
                "app_id": "where2eat",
                "model": "llm-8b",
                "tokens": 1,
                "timestamp": "2020-01-01T00:00:00Z",
            },
            {"id": "6", "app_id": "where2eat", "model": "llm-8b", "token": 1},
            {"id": "7", "app_id": "where2eat", "model": "llm-8b", "tokens": 1, "tags": {"a": "\x00"}},
            {"id": "8", "app_id": "where2eat", "model": "llm-8b", "tokens": 1, "cost_center": "CC\x00"},
            "not an object",
        ]

        answer = post(world, "/meter", events, key=world.app_key)

        body = answer.json()
        assert (answer.status, body["accepted"], body["rejected"]) == (207, 1, 8)
        assert [r["id"] for r in body["results"]] == ["2", "3", "4", "5", "6", "7", "8", ""]
        assert [(r["index"], r["error"]["code"], r["error"]["field"]) for r in body["results"]] == [
            (1, "unknown_app", "app_id"),
            (2, "unknown_price", "model"),
            (3, "invalid_field", "tokens"),
            (4, "timestamp_out_of_range", "timestamp"),
            (5, "unknown_field", "token"),
            (6, "invalid_field", "tags"),
            (7, "unknown_cost_center", "cost_center"),
            (8, "invalid_field", ""),
        ]
        assert UsageRollup.objects.get().events == 1

    def test_takes_lines_gzip_and_cloudevents(self, world: World) -> None:
        import gzip  # noqa: PLC0415

        line = {"app_id": "where2eat", "model": "llm-8b", "tokens": 5}
        lines = "\n".join(json.dumps(line | {"id": f"n{n}"}) for n in range(3)).encode()
        envelope = {"specversion": "1.0", "type": "usage", "source": "test", "id": "c1", "data": line}

        zipped = post(
            world,
            "/meter?receipts=all",
            gzip.compress(lines),
            key=world.app_key,
            **{"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
        )
        cloud = post(
            world, "/meter", envelope, key=world.app_key, **{"Content-Type": "application/cloudevents+json"}
        )

        assert zipped.json()["accepted"] == len(zipped.json()["results"]) == 3
        assert cloud.json()["accepted"] == 1
        assert UsageEvent.objects.filter(event_id="c1").exists()

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [(b"{", "application/json", 400), (b"[]" * 0, "application/json", 400), (b"x", "text/csv", 415)],
    )
    def test_refuses_what_it_cannot_read(
        self, world: World, body: bytes, content_type: str, status: int
    ) -> None:
        answer = post(world, "/meter", body, key=world.app_key, **{"Content-Type": content_type})

        assert answer.status == status
        assert answer.json()["status"] == status

    def test_counts_reported_usage_against_limits(self, world: World) -> None:
        Limit.objects.filter(app=world.app, window="day").update(limit_value=2)
        events = [{"app_id": "where2eat", "model": "llm-8b", "tokens": 1} for _ in range(2)]

        post(world, "/meter", events, key=world.app_key)

        with pytest.raises(openai.RateLimitError):
            client(world).chat.completions.create(model="auto", messages=MESSAGES)
