"""Every protocol against the demo provider, which speaks each as strictly as its owner: what goes out, what comes back."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest

from marketplace.gateway import tokens
from marketplace.gateway.providers import ConnectionPool, ProviderEndpoint, make_provider
from marketplace.gateway.providers.anthropic import AnthropicEvents, messages_request
from marketplace.gateway.providers.base import (
    Completion,
    Provider,
    ProviderBadResponse,
    ProviderError,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    Stream,
    Usage,
)
from marketplace.gateway.providers.gemini import content_request
from marketplace.gateway.providers.prefixes import CACHED_FOR_S, LEAST_BYTES, PrefixMemory
from marketplace.gateway.providers.sse import StreamMeter
from marketplace.gateway.providers.translating import CannotSay
from marketplace.gateway.providers.wires import openai_error

T = TypeVar("T")

PATHS = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
KINDS = list(PATHS)
TRANSLATED = ["anthropic", "gemini"]
TEXT = "The box was broken and one of the two cups was missing. I want a refund now please."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "refund",
            "description": "Give a refund",
            "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}},
        },
    }
]
SCHEMA = {"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def chat(content: Any = TEXT, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": content}]
    return {"model": "llm-8b", "messages": messages, "max_tokens": 100, **fields}


def use(
    address: str, kind: str, work: Callable[[Provider], Awaitable[T]], *, path: str = "", **endpoint: Any
) -> T:
    async def inside() -> T:
        pool = ConnectionPool()
        base_url = f"{address}{path or PATHS[kind]}"
        made = ProviderEndpoint(name="demo", base_url=base_url, kind=kind, **endpoint)  # type: ignore[arg-type]
        try:
            return await work(make_provider(made, pool=pool))
        finally:
            await pool.close()

    return asyncio.run(inside())


def complete(
    address: str, kind: str, body: Mapping[str, Any], *, fault: str = "", **endpoint: Any
) -> Completion:
    headers = {"x-demo-fault": fault} if fault else {}
    return use(address, kind, lambda provider: provider.complete(body, headers=headers), **endpoint)


async def read(provider: Provider, body: Mapping[str, Any], *, fault: str = "") -> tuple[bytes, Stream, Any]:
    """Read a stream as far as it goes; give what was passed on, the stream, and the error that ended it."""
    passed = b""
    async with provider.stream(body, headers={"x-demo-fault": fault} if fault else {}) as stream:
        try:
            async for chunk in stream:
                passed += chunk
        except ProviderError as error:
            return passed, stream, error
    return passed, stream, None


def stream(address: str, kind: str, body: Mapping[str, Any], *, fault: str = "", **endpoint: Any) -> Any:
    return use(address, kind, lambda provider: read(provider, body, fault=fault), **endpoint)


def message_of(completion: Completion) -> dict[str, Any]:
    choice = json.loads(completion.body)["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


def joined(passed: bytes) -> dict[str, Any]:
    """Put a stream together as a client does."""
    events = [json.loads(line[6:]) for line in passed.split(b"\n\n") if line and line != b"data: [DONE]"]
    found: dict[str, Any] = {
        "content": "",
        "reasoning": "",
        "calls": {},
        "finish_reason": None,
        "usage": None,
    }
    for event in events:
        found["usage"] = event.get("usage") or found["usage"]
        for choice in event["choices"]:
            delta = choice["delta"]
            found["content"] += delta.get("content") or ""
            found["reasoning"] += delta.get("reasoning_content") or ""
            found["finish_reason"] = choice["finish_reason"] or found["finish_reason"]
            for call in delta.get("tool_calls") or ():
                known = found["calls"].setdefault(call["index"], {"name": "", "arguments": ""})
                for name, part in call["function"].items():
                    known[name] += part
    return found


@pytest.mark.parametrize("kind", TRANSLATED)
class TestWhole:
    def test_says_and_costs_the_same_as_in_openais_words(self, demo_provider: str, kind: str) -> None:
        answer, same = complete(demo_provider, kind, chat()), complete(demo_provider, "openai", chat())

        assert message_of(answer)["content"] == message_of(same)["content"]
        assert message_of(answer)["finish_reason"] == "stop"
        assert answer.usage == same.usage and not answer.usage.is_estimated
        fields = json.loads(answer.body)
        assert (fields["object"], fields["model"]) == ("chat.completion", "llm-8b")
        assert fields["usage"]["total_tokens"] == answer.usage.total_tokens

    def test_calls_tools_and_reads_their_results(self, demo_provider: str, kind: str) -> None:
        body = chat(tools=TOOLS, tool_choice="required")
        called = message_of(complete(demo_provider, kind, body))

        assert called["finish_reason"] == "tool_calls" and called["content"] is None
        (call,) = called["tool_calls"]
        assert call["function"]["name"] == "refund"
        assert list(json.loads(call["function"]["arguments"])) == ["reason"]
        turns = [*body["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
        turns.append({"role": "tool", "tool_call_id": call["id"], "content": "Refunded."})
        told = message_of(complete(demo_provider, kind, {**body, "messages": turns, "tool_choice": "auto"}))
        assert "Refunded." in told["content"]

    def test_forces_one_tool(self, demo_provider: str, kind: str) -> None:
        forced = {"type": "function", "function": {"name": "refund"}}
        answer = complete(demo_provider, kind, chat("Hello", tools=TOOLS, tool_choice=forced))

        assert message_of(answer)["tool_calls"][0]["function"]["name"] == "refund"

    def test_answers_by_a_schema(self, demo_provider: str, kind: str) -> None:
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}

        answer = message_of(complete(demo_provider, kind, chat(response_format=wanted)))

        assert json.loads(answer["content"])["label"] in ("good", "bad")

    def test_takes_images(self, demo_provider: str, kind: str) -> None:
        seen = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
        plain = complete(demo_provider, kind, chat("What is this?")).usage

        answer = complete(demo_provider, kind, chat(seen)).usage

        assert answer.input_tokens - plain.input_tokens == tokens.count_prompt(
            {"messages": [{"role": "user", "content": seen[1:]}]}
        ) - tokens.count_prompt({"messages": [{"role": "user", "content": []}]})

    def test_keeps_to_the_length(self, demo_provider: str, kind: str) -> None:
        answer = complete(demo_provider, kind, chat(max_tokens=3))

        assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 3)

    def test_thinks_aloud(self, demo_provider: str, kind: str) -> None:
        answer = complete(demo_provider, kind, chat(reasoning_effort="low"))

        assert message_of(answer)["reasoning_content"]
        # Anthropic's usage does not tell thoughts apart; Gemini's does.
        assert answer.usage.reasoning_tokens == (16 if kind == "gemini" else 0)
        assert answer.usage.output_tokens > 16

    def test_reads_cached_input(self, demo_provider: str, kind: str) -> None:
        answer = complete(demo_provider, kind, chat(), fault="cached:7")

        assert answer.usage.cached_input_tokens == 7
        assert answer.usage.input_tokens == complete(demo_provider, kind, chat()).usage.input_tokens

    def test_counts_itself_when_no_usage_is_reported(self, demo_provider: str, kind: str) -> None:
        reported, counted = (
            complete(demo_provider, kind, chat()),
            complete(demo_provider, kind, chat(), fault="no-usage"),
        )

        assert counted.usage.is_estimated
        assert counted.usage.output_tokens == reported.usage.output_tokens

    def test_gives_the_refusal_of_the_provider_in_openais_shape(self, demo_provider: str, kind: str) -> None:
        with pytest.raises(ProviderRefused) as refused:
            complete(demo_provider, kind, chat(model="nobody-has-it"))

        error = json.loads(refused.value.body)["error"]
        assert (refused.value.status, set(error)) == (404, {"message", "type", "code", "param"})
        assert "nobody-has-it" in error["message"]

    def test_sends_its_key_as_the_protocol_wants_it(self, guarded_demo_provider: str, kind: str) -> None:
        assert complete(guarded_demo_provider, kind, chat(), api_key="demo-secret").status == 200
        with pytest.raises(ProviderMisconfigured):
            complete(guarded_demo_provider, kind, chat(), api_key="wrong")

    def test_refuses_here_what_cannot_be_read_and_sends_nothing(self, kind: str) -> None:
        with pytest.raises(ProviderRefused) as refused:
            complete("http://127.0.0.1:9", kind, chat([{"type": "video", "video": "x"}]))

        assert refused.value.status == 400
        assert json.loads(refused.value.body)["error"]["param"] == "messages"


@pytest.mark.parametrize("kind", TRANSLATED)
class TestStream:
    def test_comes_to_the_same_as_a_whole_answer(self, demo_provider: str, kind: str) -> None:
        whole = complete(demo_provider, kind, chat())
        passed, source, error = stream(demo_provider, kind, chat())

        assert error is None and source.is_complete
        said = joined(passed)
        assert (said["content"], said["finish_reason"]) == (message_of(whole)["content"], "stop")
        assert said["usage"] is None and passed.endswith(b"data: [DONE]\n\n")
        assert source.usage() == whole.usage

    def test_tells_the_usage_when_asked(self, demo_provider: str, kind: str) -> None:
        passed, source, _ = stream(demo_provider, kind, chat(stream_options={"include_usage": True}))

        assert joined(passed)["usage"]["total_tokens"] == source.usage().total_tokens

    def test_calls_tools_and_thinks(self, demo_provider: str, kind: str) -> None:
        body = chat(tools=TOOLS, tool_choice="required", reasoning_effort="low")
        whole = message_of(complete(demo_provider, kind, body))

        said = joined(stream(demo_provider, kind, body)[0])

        assert said["reasoning"] == whole["reasoning_content"]
        assert said["calls"][0]["name"] == "refund"
        called = whole["tool_calls"][0]["function"]["arguments"]
        assert json.loads(said["calls"][0]["arguments"]) == json.loads(called)
        assert said["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("kind", KINDS)
class TestFaults:
    """What goes wrong, in every protocol the same: which error, and what may have been charged."""

    @pytest.mark.parametrize(
        ("fault", "error", "was_maybe_charged"),
        [
            ("429:9", ProviderRateLimited, False),
            ("503", ProviderUnavailable, False),
            ("500", ProviderUnavailable, True),
            ("reset", ProviderUnavailable, True),
            ("bad-json", ProviderBadResponse, True),
            ("half-stream", ProviderBadResponse, True),
        ],
    )
    def test_of_a_whole_answer(
        self, demo_provider: str, kind: str, fault: str, error: type[ProviderError], was_maybe_charged: bool
    ) -> None:
        with pytest.raises(error) as raised:
            complete(demo_provider, kind, chat(), fault=fault)

        assert raised.value.was_maybe_charged is was_maybe_charged
        if fault == "429:9":
            assert raised.value.asked_pause_s == 9

    def test_of_a_provider_that_hangs(self, demo_provider: str, kind: str) -> None:
        with pytest.raises(ProviderTimeout):
            complete(demo_provider, kind, chat(), fault="hang", timeout_s=0.2)
        with pytest.raises(ProviderTimeout):
            stream(demo_provider, kind, chat(), fault="hang", first_byte_timeout_s=0.2)

    def test_of_a_stream_that_stops_coming(self, demo_provider: str, kind: str) -> None:
        _, source, error = stream(demo_provider, kind, chat(), fault="stall:4", idle_timeout_s=0.2)

        assert isinstance(error, ProviderTimeout)
        assert source.usage().is_estimated and source.usage().input_tokens > 0

    def test_of_a_stream_that_cannot_be_read(self, demo_provider: str, kind: str) -> None:
        passed, source, error = stream(demo_provider, kind, chat(), fault="bad-json")

        assert isinstance(error, ProviderBadResponse)
        assert source.usage().output_tokens == tokens.count(joined(passed)["content"])

    def test_that_reports_ten_times_too_much_is_taken_at_its_word(
        self, demo_provider: str, kind: str
    ) -> None:
        honest = complete(demo_provider, kind, chat()).usage

        assert (
            complete(demo_provider, kind, chat(), fault="wrong-usage").usage.output_tokens
            == 10 * honest.output_tokens
        )

    def test_of_a_stream_cut_at_every_event_counts_what_was_delivered(
        self, demo_provider: str, kind: str
    ) -> None:
        async def cut(provider: Provider) -> list[tuple[str, Usage, Any]]:
            found = []
            for count in range(30):
                passed, source, error = await read(
                    provider, chat(max_tokens=12), fault=f"half-stream:{count}"
                )
                found.append((joined(passed)["content"], source.usage(), error))
            return found

        honest = complete(demo_provider, kind, chat(max_tokens=12)).usage
        found = use(demo_provider, kind, cut)
        for text, usage, error in found:
            if usage.is_estimated:
                # Invariant: within 2 % of the full count; here it is exact.
                assert usage.output_tokens == tokens.count(text)
                assert abs(usage.input_tokens - honest.input_tokens) <= honest.input_tokens * 0.02
            else:
                assert usage == honest
            assert error is None or isinstance(error, ProviderBadResponse)
        assert len({text for text, _, _ in found}) == 13
        assert not found[-1][1].is_estimated


class TestEmbeddings:
    def test_are_made_by_gemini_and_not_by_anthropic(self, demo_provider: str) -> None:
        body = {"model": "embed-small", "input": ["one two", "three"], "dimensions": 8}
        made = use(demo_provider, "gemini", lambda provider: provider.complete(body, path="embeddings"))
        same = use(demo_provider, "openai", lambda provider: provider.complete(body, path="embeddings"))

        assert json.loads(made.body)["data"] == json.loads(same.body)["data"]
        assert made.usage == Usage(input_tokens=3, is_estimated=True)
        with pytest.raises(ProviderMisconfigured) as refused:
            use(demo_provider, "anthropic", lambda provider: provider.complete(body, path="embeddings"))
        assert not refused.value.was_maybe_charged


class TestCachedPrefix:
    LONG = "You answer questions about returns of goods. " * 120

    def test_is_written_when_it_comes_again_and_read_from_then_on(self, demo_provider: str) -> None:
        long = [{"role": "system", "content": self.LONG}, {"role": "user", "content": TEXT}]

        async def three(provider: Provider) -> list[Usage]:
            return [(await provider.complete(chat(messages=long))).usage for _ in range(3)]

        first, second, third = use(demo_provider, "anthropic", three)

        assert (first.cache_write_tokens, first.cached_input_tokens) == (0, 0)
        assert second.cache_write_tokens > 1_000 and second.cached_input_tokens == 0
        assert (third.cached_input_tokens, third.cache_write_tokens) == (second.cache_write_tokens, 0)
        assert first.input_tokens == second.input_tokens == third.input_tokens

    def test_is_remembered_for_as_long_as_providers_do(self) -> None:
        now = 0.0
        prefixes = PrefixMemory(clock=lambda: now)
        prefix = b"x" * LEAST_BYTES

        assert [prefixes.is_repeated(prefix), prefixes.is_repeated(prefix)] == [False, True]
        now = CACHED_FOR_S
        assert not prefixes.is_repeated(prefix)
        assert not prefixes.is_repeated(b"short") and not prefixes.is_repeated(b"short")


class TestAnthropicRequest:
    def test_puts_instructions_apart_and_joins_turns(self) -> None:
        said = messages_request(
            {
                "model": "m",
                "max_tokens": 9,
                "messages": [
                    {"role": "developer", "content": "Be kind."},
                    {"role": "user", "content": "One"},
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}],
                    },
                    {"role": "system", "content": "Be brief."},
                ],
                "temperature": 1.7,
                "stop": "END",
                "user": "u-1",
                "parallel_tool_calls": False,
                "tools": TOOLS,
            }
        )

        assert [block["text"] for block in said["system"]] == ["Be kind.", "Be brief."]
        assert said["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}
        ]
        assert (said["temperature"], said["stop_sequences"]) == (1, ["END"])
        assert said["metadata"] == {"user_id": "u-1"}
        assert said["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}

    def test_sends_images_by_value_or_address(self) -> None:
        def source(url: str) -> Any:
            content = [{"type": "image_url", "image_url": {"url": url}}]
            body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
            return messages_request(body)["messages"][0]["content"][0]["source"]

        assert source(PIXEL) == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        assert source("https://a.example/b.png") == {"type": "url", "url": "https://a.example/b.png"}
        with pytest.raises(CannotSay):
            source("data:image/tiff;base64,AAAA")

    @pytest.mark.parametrize("field", [{"n": 2}, {"functions": [{"name": "f"}]}])
    def test_refuses_what_it_has_no_words_for(self, field: dict[str, Any]) -> None:
        with pytest.raises(CannotSay):
            messages_request(chat(**field))


class TestGeminiRequest:
    def test_names_the_tool_of_a_result_and_signs_calls_of_others(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "refund", "arguments": '{"a": 1}'}}
        signed = {**call, "id": "call_2", "extra_content": {"google": {"thought_signature": "c2ln"}}}
        body = chat(
            messages=[
                {"role": "user", "content": "Go"},
                {"role": "assistant", "content": None, "tool_calls": [call, signed]},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"ok": true}'},
                {"role": "tool", "tool_call_id": "call_2", "content": "done"},
            ]
        )

        _, called, answered = content_request(body)["contents"]

        assert [part["thoughtSignature"] for part in called["parts"]] == [
            "skip_thought_signature_validator",
            "c2ln",
        ]
        assert called["parts"][0]["functionCall"] == {"name": "refund", "args": {"a": 1}}
        assert [part["functionResponse"]["response"] for part in answered["parts"]] == [
            {"ok": True},
            {"result": "done"},
        ]

    def test_says_how_to_answer(self) -> None:
        config = content_request(
            chat(
                temperature=0.2,
                top_p=0.9,
                n=2,
                seed=7,
                stop=["A"],
                reasoning_effort="high",
                model="gemini-2.5-pro",
            )
        )["generationConfig"]

        assert config == {
            "temperature": 0.2,
            "topP": 0.9,
            "candidateCount": 2,
            "seed": 7,
            "stopSequences": ["A"],
            "maxOutputTokens": 100,
            "thinkingConfig": {"thinkingBudget": 24_576},
        }


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "message", "kind"),
        [
            (
                b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}',
                "model: x",
                "not_found_error",
            ),
            (
                b'{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}',
                "Bad",
                "invalid_argument",
            ),
            (
                b'{"object":"error","message":"Too long","type":"BadRequestError","code":400}',
                "Too long",
                "badrequesterror",
            ),
            (
                b'{"detail":[{"loc":["body"],"msg":"no"}]}',
                '[{"loc":["body"],"msg":"no"}]',
                "invalid_request_error",
            ),
            (b'{"error":"model not found"}', "model not found", "invalid_request_error"),
            (b"<html>", "It refuses", "invalid_request_error"),
        ],
    )
    def test_of_any_shape_come_out_in_openais(self, body: bytes, message: str, kind: str) -> None:
        error = json.loads(openai_error(body, otherwise="It refuses"))["error"]

        assert error == {"message": message, "type": kind, "code": None, "param": None}

    def test_in_openais_shape_stay_as_they_are(self) -> None:
        body = b'{"error": {"message": "m", "type": "t", "code": null, "param": "x"}}'

        assert openai_error(body, otherwise="") is body

    def test_within_a_stream_break_it_off(self) -> None:
        events, meter = AnthropicEvents(), StreamMeter(hides_usage=False)
        meter.feed(
            events.feed(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n')
        )

        assert meter.failure is not None and meter.failure[0] == "broke off with an error"
