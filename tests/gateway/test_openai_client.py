"""OpenAI's own client against the whole application, over every protocol of a provider behind it."""

import base64
import json
from collections.abc import Iterator
from struct import pack
from typing import Any

import openai
import pytest

from marketplace.gateway.models import Provider
from metering.models import UsageEvent
from quotas.models import Hold
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "refund",
            "description": "Give a refund",
            "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}},
        },
    }
]
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "mood",
        "schema": {
            "type": "object",
            "properties": {"label": {"enum": ["good", "bad"]}},
            "required": ["label"],
        },
    },
}
PNG = b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + b"IHDR" + pack(">II", 100, 100)
PATHS = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def client(world: World) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{world.url}/v1", api_key=world.sub_key, max_retries=0)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


class TestChat:
    def test_does_all_of_it_whichever_protocol_the_provider_speaks(
        self, world: World, demo_provider: str
    ) -> None:
        for kind, path in PATHS.items():
            Provider.objects.update(kind=kind, base_url=demo_provider + path)
            self.call_tools(client(world))
            self.fill_schema(client(world))
            self.stream(client(world))
            self.look_at_an_image(client(world))

        assert not Hold.objects.filter(state="held").exists()
        events = UsageEvent.objects.order_by("received_at")
        assert len(events) == 3 * 4
        assert not any(event.is_estimated for event in events)

    def call_tools(self, api: openai.OpenAI) -> None:
        answer = api.chat.completions.create(
            model="llm-8b", messages=user("A refund, please"), tools=TOOLS, tool_choice="required"
        )
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function" and call.function.name == "refund"
        assert list(json.loads(call.function.arguments)) == ["reason"]

    def fill_schema(self, api: openai.OpenAI) -> None:
        answer = api.chat.completions.create(model="auto", messages=user("It broke"), response_format=SCHEMA)
        assert json.loads(answer.choices[0].message.content or "")["label"] in ("good", "bad")

    def stream(self, api: openai.OpenAI) -> None:
        chunks = list(
            api.chat.completions.create(
                model="auto",
                messages=user("Hello there"),
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].usage is not None and not chunks[-1].choices
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"

    def look_at_an_image(self, api: openai.OpenAI) -> None:
        url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        content = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        answer = api.chat.completions.create(model="auto", messages=user(content))
        # One tile: 85 and 170.
        assert answer.usage is not None and answer.usage.prompt_tokens > 255


class TestModels:
    def test_are_found_by_name_when_they_may_be_used(self, world: World) -> None:
        assert client(world).models.retrieve("llm-8b").id == "llm-8b"
        assert "auto" in [model.id for model in client(world).models.list()]
        with pytest.raises(openai.NotFoundError) as missing:
            client(world).models.retrieve("llm-secret")
        assert missing.value.code == "model_not_found"


class TestErrors:
    def test_of_a_provider_are_its_own_and_cost_nothing(self, world: World) -> None:
        for fault, status, code in (
            ("500", 502, "provider_unavailable"),
            ("bad-json", 502, "provider_bad_response"),
            ("429:9", 429, "provider_rate_limited"),
        ):
            with pytest.raises(openai.APIStatusError) as failed:
                client(world).chat.completions.create(model="llm-8b", messages=user(f"Hi [[demo:{fault}]]"))
            assert (failed.value.status_code, failed.value.code) == (status, code)

        assert failed.value.response.headers["retry-after"] == "9"
        assert not UsageEvent.objects.exists() and not Hold.objects.filter(state="held").exists()
