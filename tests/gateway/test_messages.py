"""The Messages API: its words, and Anthropic's own client as a user of the whole application."""

import base64
import json
from collections.abc import Iterator
from struct import pack
from typing import Any

import anthropic
import pytest

from marketplace.gateway.messages.answering import MessageEvents, message, usage_fields
from marketplace.gateway.messages.asking import chat_fields
from marketplace.gateway.models import Provider
from marketplace.gateway.providers.base import Usage
from marketplace.gateway.requests import InvalidRequest
from metering.models import UsageEvent
from quotas.models import Hold
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

PNG = b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + b"IHDR" + pack(">II", 100, 100)
TOOL: Any = {
    "name": "refund",
    "description": "Give a refund",
    "input_schema": {"type": "object", "properties": {"reason": {"type": "string"}}},
}


def request(**fields: Any) -> dict[str, Any]:
    return {
        "model": "llm-8b",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
        **fields,
    }


class TestChatFields:
    def test_say_a_plain_question(self) -> None:
        assert chat_fields(request(system="Be short.", temperature=0, stop_sequences=["."])) == {
            "model": "llm-8b",
            "max_tokens": 50,
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "Hello"},
            ],
            "temperature": 0,
            "stop": ["."],
        }

    def test_say_calls_of_tools_and_their_results(self) -> None:
        turns = [
            {"role": "user", "content": "A refund, please"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "They want money.", "signature": "s"},
                    {"type": "text", "text": "One moment."},
                    {"type": "tool_use", "id": "t1", "name": "refund", "input": {"reason": "broken"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Well?"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": "no such order",
                        "is_error": True,
                    },
                ],
            },
        ]
        said = chat_fields(
            request(
                messages=turns, tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}
            )
        )
        function = {"name": "refund", "arguments": '{"reason":"broken"}'}
        assert said["messages"] == [
            {"role": "user", "content": "A refund, please"},
            {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": [{"id": "t1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "The tool failed: no such order"},
            {"role": "user", "content": "Well?"},
        ]
        assert said["tool_choice"] == "required"
        assert said["parallel_tool_calls"] is False
        assert said["tools"][0]["function"]["parameters"] == TOOL["input_schema"]

    def test_keep_images_and_marks_of_what_is_to_be_cached(self) -> None:
        source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
        mark = {"type": "ephemeral"}
        content = [
            {"type": "image", "source": source},
            {"type": "text", "text": "What is this?", "cache_control": mark},
        ]
        (turn,) = chat_fields(request(messages=[{"role": "user", "content": content}]))["messages"]
        assert turn["content"] == [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {"type": "text", "text": "What is this?", "cache_control": mark},
        ]

    @pytest.mark.parametrize(
        ("budget", "effort"), [(1_024, "low"), (4_096, "medium"), (16_383, "medium"), (16_384, "high")]
    )
    def test_turn_a_budget_of_thinking_into_an_effort(self, budget: int, effort: str) -> None:
        said = chat_fields(request(thinking={"type": "enabled", "budget_tokens": budget}))
        assert said["reasoning_effort"] == effort

    def test_ask_for_an_answer_by_a_schema(self) -> None:
        schema = {"type": "object"}
        said = chat_fields(request(output_config={"format": {"type": "json_schema", "schema": schema}}))
        assert said["response_format"]["json_schema"]["schema"] == schema

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"max_tokens": None}, "max_tokens"),
            ({"max_tokens": True}, "max_tokens"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
            ({"messages": ["x"]}, "messages.0.role"),
            ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
            ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content"),
            ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages.0.content"),
            ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content"),
            ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages.0.content"),
            ({"system": 3}, "system"),
            ({"tools": "refund"}, "tools"),
            ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
            ({"tool_choice": "any"}, "tool_choice"),
            ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
            ({"output_config": {"format": {"type": "yaml"}}}, "output_config.format"),
            ({"mcp_servers": [{"url": "https://x.example"}]}, "mcp_servers"),
        ],
    )
    def test_name_what_is_wrong(self, fields: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidRequest) as wrong:
            chat_fields(request(**fields))
        assert wrong.value.field == field


class TestUsageFields:
    def test_put_what_was_cached_beside_the_input(self) -> None:
        usage = Usage(input_tokens=100, output_tokens=7, cached_input_tokens=60, cache_write_tokens=30)
        assert usage_fields(usage) == {
            "input_tokens": 10,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "output_tokens": 7,
        }


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def read(events: bytes) -> list[dict[str, Any]]:
    return [json.loads(one.partition(b"data: ")[2]) for one in events.split(b"\n\n") if one]


class TestMessageEvents:
    def test_say_block_after_block(self) -> None:
        events = MessageEvents("msg_1", model="llm-8b", input_tokens=9, shows_thinking=True)
        calls = [
            {"index": 0, "id": "a", "function": {"name": "refund", "arguments": ""}},
            {"index": 1, "id": "b", "function": {"name": "refund", "arguments": '{"x":1}'}},
        ]
        said = read(
            events.start()
            + events.feed(chunk({"role": "assistant", "content": ""}) + chunk({"reasoning_content": "Hm"}))
            + events.feed(chunk({"content": "Hel"}) + chunk({"content": "lo"}))
            + events.feed(chunk({"tool_calls": [calls[0]]}))
            + events.feed(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
            + events.feed(chunk({"tool_calls": [calls[1]]}) + chunk({}, "tool_calls") + b"data: [DONE]\n\n")
            + events.end(Usage(input_tokens=9, output_tokens=5))
        )
        told = [(one["type"], one.get("index")) for one in said]
        assert told == [
            ("message_start", None),
            ("ping", None),
            ("content_block_start", 0),
            ("content_block_delta", 0),
            ("content_block_stop", 0),
            ("content_block_start", 1),
            ("content_block_delta", 1),
            ("content_block_delta", 1),
            ("content_block_stop", 1),
            ("content_block_start", 2),
            ("content_block_delta", 2),
            ("content_block_stop", 2),
            ("content_block_start", 3),
            ("content_block_delta", 3),
            ("content_block_stop", 3),
            ("message_delta", None),
        ]
        assert said[-1]["delta"]["stop_reason"] == "tool_use"
        assert said[-1]["usage"]["output_tokens"] == 5

    def test_keep_thoughts_that_nobody_asked_for(self) -> None:
        events = MessageEvents("msg_1", model="llm-8b", input_tokens=9, shows_thinking=False)
        assert events.feed(chunk({"reasoning_content": "Hm"})) == b""


class TestMessage:
    def test_quotes_arguments_that_are_no_object(self) -> None:
        call = {"id": "a", "type": "function", "function": {"name": "refund", "arguments": "[broken"}}
        answer = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
        said = json.loads(
            message(
                json.dumps(answer).encode(),
                message_id="msg_1",
                model="llm-8b",
                usage=Usage(),
                shows_thinking=False,
            )
        )
        assert said["content"] == [
            {"type": "tool_use", "id": "a", "name": "refund", "input": {"arguments": "[broken"}}
        ]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def client(world: World, *, key: str | None = None) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=world.url, api_key=key or world.sub_key, max_retries=0)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestAnthropicsClient:
    def test_does_all_of_it_whichever_protocol_the_provider_speaks(
        self, world: World, demo_provider: str
    ) -> None:
        api = client(world)
        for kind, path in {"openai": "/v1", "anthropic": "/v1"}.items():
            Provider.objects.update(kind=kind, base_url=demo_provider + path)
            self.converse(api)
            self.call_a_tool(api)
            self.stream(api)
            self.look_at_an_image(api)

        assert not Hold.objects.filter(state="held").exists()
        events = UsageEvent.objects.all()
        assert len(events) == 2 * 5
        assert not any(event.is_estimated for event in events)

    def converse(self, api: anthropic.Anthropic) -> None:
        answer = api.messages.create(model="llm-8b", max_tokens=50, system="Be kind.", messages=user("Hello"))
        assert answer.content[0].type == "text" and answer.content[0].text
        assert (answer.role, answer.model, answer.stop_reason) == ("assistant", "llm-8b", "end_turn")
        assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0

    def call_a_tool(self, api: anthropic.Anthropic) -> None:
        asked = user("A refund, please")
        answer = api.messages.create(
            model="llm-8b", max_tokens=50, messages=asked, tools=[TOOL], tool_choice={"type": "any"}
        )
        (call,) = [block for block in answer.content if block.type == "tool_use"]
        assert answer.stop_reason == "tool_use"
        assert call.name == "refund" and isinstance(call.input, dict) and list(call.input) == ["reason"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
        said: Any = [*asked, {"role": "assistant", "content": answer.content}, *user([result])]
        after = api.messages.create(model="llm-8b", max_tokens=50, messages=said, tools=[TOOL])
        assert after.content

    def stream(self, api: anthropic.Anthropic) -> None:
        with api.messages.stream(model="auto", max_tokens=50, messages=user("Hello there")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert final.content[0].type == "text" and final.content[0].text == text != ""
        assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0

    def look_at_an_image(self, api: anthropic.Anthropic) -> None:
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
        content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
        answer = api.messages.create(model="auto", max_tokens=50, messages=user(content))
        assert answer.usage.input_tokens > 255

    def test_counts_tokens_and_lists_models_for_nothing(self, world: World) -> None:
        api = client(world)
        counted = api.messages.count_tokens(model="llm-8b", messages=user("one two three"))
        assert counted.input_tokens > 0
        assert next(model.id for model in api.models.list()) == "auto"
        assert api.models.retrieve("llm-8b").id == "llm-8b"
        assert not UsageEvent.objects.exists() and not Hold.objects.exists()

    def test_hears_of_errors_in_its_own_words(self, world: World) -> None:
        api = client(world)
        with pytest.raises(anthropic.AuthenticationError):
            client(world, key="hp_sub_wrong").messages.create(
                model="llm-8b", max_tokens=5, messages=user("Hi")
            )
        with pytest.raises(anthropic.NotFoundError) as missing:
            api.models.retrieve("llm-secret")
        with pytest.raises(anthropic.BadRequestError) as wrong:
            api.messages.create(model="llm-8b", max_tokens=0, messages=user("Hi"))
        with pytest.raises(anthropic.RateLimitError) as limited:
            api.messages.create(model="llm-8b", max_tokens=5, messages=user("Hi [[demo:429:9]]"))
        assert wrong.value.body == {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "max_tokens: A whole number of at least 1 is required.",
                "code": "invalid_request",
            },
        }
        assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
        assert limited.value.response.headers["retry-after"] == "9"
        assert not UsageEvent.objects.exists() and not Hold.objects.filter(state="held").exists()

    def test_hears_that_a_stream_broke_off_and_pays_for_what_came(self, world: World) -> None:
        with (
            pytest.raises(anthropic.APIError),
            client(world).messages.stream(
                model="llm-8b", max_tokens=50, messages=user("Hello there [[demo:half-stream]]")
            ) as stream,
        ):
            stream.get_final_message()
        (event,) = UsageEvent.objects.all()
        assert event.output_tokens > 0 and event.is_estimated

    def test_is_given_the_first_answer_again_for_the_same_key(self, world: World) -> None:
        def ask(*, stream: bool) -> Any:
            raw = client(world).messages.with_raw_response.create(
                model="llm-8b",
                max_tokens=50,
                messages=user("Hello"),
                stream=stream,
                extra_headers={"Idempotency-Key": f"again-{stream}"},
            )
            return raw.headers["x-request-id"], raw.http_response.read()

        for stream in (False, True):
            assert ask(stream=stream) == ask(stream=stream)
        assert UsageEvent.objects.count() == 2
