"""Providers against the real demo provider, and their parsing against what other providers send."""

import asyncio
import json
from decimal import Decimal
from itertools import pairwise

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway import tokens
from marketplace.gateway.providers import ConnectionPool, ProviderEndpoint, make_provider
from marketplace.gateway.providers.answers import read_usage
from marketplace.gateway.providers.base import (
    ProviderBadResponse,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    Usage,
)
from marketplace.gateway.providers.bodies import ask_for_usage, replace_fields
from marketplace.gateway.providers.echo import EchoProvider
from marketplace.gateway.providers.openai import OpenAIProvider
from marketplace.gateway.providers.sse import StreamMeter
from marketplace.gateway.providers.transport import read_retry_after, status_error
from tests.gateway.conftest import free_port, running_demo_provider

TEXT = "The box was broken and one of the two cups was missing. I wrote to you twice. I want a refund now please."


def chat(content=TEXT, **fields):
    return {"model": "llm-8b", "messages": [{"role": "user", "content": content}], **fields}


def encoded(**fields):
    return msgspec.json.encode(chat(**fields))


def run(address, use, *, path="/v1", **endpoint):
    """Make a provider for the demo provider and use it in a loop of its own."""

    async def inside():
        pool = ConnectionPool()
        made = ProviderEndpoint(name="demo", base_url=f"{address}{path}", **endpoint)
        try:
            return await use(OpenAIProvider(made, pool=pool, retry_base_s=0))
        finally:
            await pool.close()

    return asyncio.run(inside())


def complete(address, body, *, headers=None, **endpoint):
    return run(address, lambda provider: provider.complete(body, headers=headers or {}), **endpoint)


def requests_seen(address):
    return run(address, _stats)["requests"].get("/v1/chat/completions", 0)


async def _stats(provider):
    address = provider.endpoint.base_url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session, session.get(f"{address}/stats") as response:
        return await response.json()


async def read_all(provider, body, *, headers=None):
    """Read a stream to its end; give what was passed on and the stream."""
    async with provider.stream(body, headers=headers or {}) as stream:
        passed = [chunk async for chunk in stream]
        return b"".join(passed), stream


async def read_until_error(provider, body, *, headers=None):
    passed = b""
    async with provider.stream(body, headers=headers or {}) as stream:
        with pytest.raises(ProviderBadResponse) as error:
            async for chunk in stream:
                passed += chunk
        return passed, stream, error.value


class TestComplete:
    def test_passes_the_answer_on_and_reads_its_usage(self, demo_provider):
        completion = complete(demo_provider, chat())

        answer = json.loads(completion.body)
        assert completion.status == 200
        assert completion.finish_reason == "stop"
        assert completion.headers["X-Provider"] == "halfpenny-demo"
        assert completion.usage == Usage(
            input_tokens=answer["usage"]["prompt_tokens"],
            output_tokens=tokens.count(answer["choices"][0]["message"]["content"]),
        )

    def test_takes_bytes_as_they_are(self, demo_provider):
        assert complete(demo_provider, encoded()).usage == complete(demo_provider, chat()).usage

    def test_counts_itself_when_no_usage_is_reported(self, demo_provider):
        reported = complete(demo_provider, chat("Classify as a, b or c. [[demo:cached:0]]")).usage
        counted = complete(demo_provider, chat("Classify as a, b or c. [[demo:no-usage]]")).usage

        assert counted.is_estimated
        assert counted.output_tokens == reported.output_tokens
        assert counted.input_tokens == tokens.count_prompt(chat("Classify as a, b or c. [[demo:no-usage]]"))

    def test_counts_reasoning_and_tool_calls_too(self, demo_provider):
        tools = [{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}]
        body = chat(tools=tools, tool_choice="required", reasoning_effort="low")

        reported = complete(demo_provider, body).usage
        counted = complete(demo_provider, body, headers={"x-demo-fault": "no-usage"}).usage

        assert reported.reasoning_tokens == 16
        assert counted == Usage(reported.input_tokens, reported.output_tokens, is_estimated=True)

    def test_reads_cached_input(self, demo_provider):
        assert complete(demo_provider, chat("Hello [[demo:cached:3]]")).usage.cached_input_tokens == 3

    def test_embeds(self, demo_provider):
        body = {"model": "embed-small", "input": ["one two", "three"]}

        completion = run(demo_provider, lambda provider: provider.complete(body, path="embeddings"))
        counted = run(
            demo_provider,
            lambda provider: provider.complete(body, path="embeddings", headers={"x-demo-fault": "no-usage"}),
        )

        assert completion.usage == Usage(input_tokens=3)
        assert counted.usage == Usage(input_tokens=3, is_estimated=True)
        assert completion.finish_reason is None

    def test_sends_the_key(self, guarded_demo_provider):
        assert complete(guarded_demo_provider, chat(), api_key="demo-secret").status == 200
        with pytest.raises(ProviderMisconfigured) as error:
            complete(guarded_demo_provider, chat(), api_key="wrong")

        assert not error.value.was_maybe_charged
        assert error.value.status == 502

    def test_does_not_show_the_key(self):
        assert "s3cret" not in repr(ProviderEndpoint(name="x", base_url="http://x/v1", api_key="s3cret"))

    def test_passes_on_why_a_request_is_refused(self, demo_provider):
        with pytest.raises(ProviderRefused) as error:
            complete(demo_provider, {**chat(), "model": "gpt-9"})

        assert error.value.status == 404
        assert json.loads(error.value.body)["error"]["code"] == "model_not_found"
        assert not error.value.is_retryable

    def test_does_not_follow_redirects(self):
        error = status_error("demo", status=302, headers={"Location": "http://elsewhere/"}, body=b"")

        assert type(error) is ProviderMisconfigured
        assert not error.was_maybe_charged


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "kind", "status", "charged"),
        [
            ("429:60", ProviderRateLimited, 429, False),
            ("500", ProviderUnavailable, 502, True),
            ("503", ProviderUnavailable, 502, False),
            ("bad-json", ProviderBadResponse, 502, True),
            ("half-stream", ProviderBadResponse, 502, True),
        ],
    )
    def test_are_told_apart(self, demo_provider, fault, kind, status, charged):
        with pytest.raises(kind) as error:
            complete(demo_provider, chat(), headers={"x-demo-fault": fault})

        assert error.value.status == status
        assert error.value.was_maybe_charged == charged
        assert error.value.is_retryable

    def test_say_when_to_come_back(self, demo_provider):
        with pytest.raises(ProviderRateLimited) as error:
            complete(demo_provider, chat(), headers={"x-demo-fault": "429:60"})

        assert error.value.retry_after_s == 60
        assert error.value.asked_pause_s == 60

    def test_of_time_may_have_been_charged(self, demo_provider):
        with pytest.raises(ProviderTimeout) as error:
            complete(demo_provider, chat(), headers={"x-demo-fault": "hang"}, timeout_s=0.2)

        assert error.value.status == 504
        assert error.value.was_maybe_charged

    def test_of_connecting_cannot_have_been_charged(self):
        with pytest.raises(ProviderUnavailable) as error:
            complete(f"http://127.0.0.1:{free_port()}", chat())

        assert not error.value.was_maybe_charged


class TestRetry:
    @pytest.mark.parametrize("fault", ["once:429:0", "once:503"])
    def test_is_made_when_nothing_can_be_charged_twice(self, demo_provider, fault):
        before = requests_seen(demo_provider)

        completion = complete(demo_provider, chat(f"{TEXT} [[demo:{fault}]]"))

        assert completion.status == 200
        assert requests_seen(demo_provider) == before + 2

    def test_is_made_for_a_stream_before_its_first_byte(self, demo_provider):
        body = chat(f"{TEXT} [[demo:once:503]] streamed")

        _, stream = run(demo_provider, lambda provider: read_all(provider, body))

        assert stream.is_complete

    @pytest.mark.parametrize("fault", ["500", "bad-json", "half-stream", "429:60"])
    def test_is_not_made_when_it_could_be_charged_or_shall_wait(self, demo_provider, fault):
        before = requests_seen(demo_provider)

        with pytest.raises((ProviderUnavailable, ProviderBadResponse, ProviderRateLimited)):
            complete(demo_provider, chat(f"{TEXT} [[demo:{fault}]]"))

        assert requests_seen(demo_provider) == before + 1

    def test_is_made_twice_at_most(self, demo_provider):
        before = requests_seen(demo_provider)

        with pytest.raises(ProviderUnavailable):
            complete(demo_provider, chat(f"{TEXT} [[demo:503]]"))

        assert requests_seen(demo_provider) == before + 3


class TestStream:
    def test_passes_events_on_and_hides_the_usage_nobody_asked_for(self, demo_provider):
        passed, stream = run(demo_provider, lambda provider: read_all(provider, encoded()))

        events = [event.removeprefix(b"data: ") for event in passed.split(b"\n\n") if event]
        assert events[-1] == b"[DONE]"
        assert all(json.loads(event)["choices"] for event in events[:-1])
        assert stream.is_complete
        assert stream.finish_reason == "stop"
        assert stream.first_byte_ms is not None
        assert stream.usage() == complete(demo_provider, chat()).usage
        assert not stream.usage().is_estimated

    def test_passes_the_usage_on_that_the_client_asked_for(self, demo_provider):
        body = encoded(stream=True, stream_options={"include_usage": True})

        passed, stream = run(demo_provider, lambda provider: read_all(provider, body))

        usage = json.loads(passed.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
        assert usage["completion_tokens"] == stream.usage().output_tokens

    def test_counts_itself_when_no_usage_is_reported(self, demo_provider):
        _, reported = run(demo_provider, lambda provider: read_all(provider, chat()))
        _, counted = run(
            demo_provider,
            lambda provider: read_all(provider, chat(), headers={"x-demo-fault": "no-usage"}),
        )

        assert counted.usage() == Usage(
            reported.usage().input_tokens, reported.usage().output_tokens, is_estimated=True
        )

    def test_counts_reasoning_tool_calls_and_choices_as_the_provider_does(self, demo_provider):
        tools = [{"type": "function", "function": {"name": "refund_the_customer"}}]
        for body in (
            chat(n=3, reasoning_effort="low"),
            chat(tools=tools, tool_choice="required", reasoning_effort="medium"),
        ):
            _, stream = run(demo_provider, lambda provider, body=body: read_all(provider, body))

            assert stream.output_tokens_so_far == stream.usage().output_tokens

    def test_of_wrong_usage_shows_in_the_count(self, demo_provider):
        _, stream = run(
            demo_provider,
            lambda provider: read_all(provider, chat(), headers={"x-demo-fault": "wrong-usage"}),
        )

        assert stream.usage().output_tokens == 10 * stream.output_tokens_so_far

    @pytest.mark.parametrize("events", [0, 1, 2, 5, 9, 17])
    def test_cut_by_the_provider_is_settled_by_what_arrived(self, demo_provider, events):
        fault = {"x-demo-fault": f"half-stream:{events}"}

        passed, stream, error = run(
            demo_provider, lambda provider: read_until_error(provider, chat(), headers=fault)
        )

        delivered = [json.loads(event[6:]) for event in passed.split(b"\n\n") if event]
        texts = [event["choices"][0]["delta"].get("content", "") for event in delivered]
        assert len(delivered) == events
        # the first event only says who speaks, each further one is a token
        assert stream.usage().output_tokens == tokens.count("".join(texts)) == max(0, events - 1)
        assert stream.usage().input_tokens == tokens.count_prompt(chat())
        assert stream.usage().is_estimated
        assert stream.text_so_far == "".join(texts)
        assert not stream.is_complete
        assert error.was_maybe_charged

    def test_left_by_the_client_is_settled_by_what_arrived_and_stops_the_provider(self):
        async def leave(provider):
            async with provider.stream(chat()) as stream:
                async for _ in stream:
                    if stream.output_tokens_so_far:
                        break
            async with asyncio.timeout(30):
                while not (await _stats(provider))["disconnects"]:
                    await asyncio.sleep(0.01)
            return stream

        # slow enough that the answer is still being written when the client goes
        with running_demo_provider(latency_scale="40") as address:
            stream = run(address, leave)

        assert not stream.is_complete
        assert stream.usage().is_estimated
        assert stream.usage().output_tokens == tokens.count(stream.text_so_far) > 0
        assert stream.text_so_far.startswith("This")

    def test_with_an_unreadable_event_passes_on_what_came_before(self, demo_provider):
        passed, stream, error = run(
            demo_provider,
            lambda provider: read_until_error(provider, chat(), headers={"x-demo-fault": "bad-json"}),
        )

        assert b"chatcmpl-\n" not in passed
        assert stream.output_tokens_so_far > 0
        assert error.body == b'{"id": "chatcmpl-'

    def test_that_hangs_times_out(self, demo_provider):
        with pytest.raises(ProviderTimeout):
            run(
                demo_provider,
                lambda provider: read_all(provider, chat(), headers={"x-demo-fault": "hang"}),
                timeout_s=0.2,
            )


class TestStreamMeter:
    SAID = (
        b': ping\n\ndata: {"choices":[{"index":0,"delta":{"content":"The box"},"finish_reason":null}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":" was brok"},"finish_reason":null}]}\r\n\r\n'
        b'event: x\ndata: {"choices":[{"index":0,"delta":{"content":"en \xc3\xa9"},"finish_reason":"stop"}]}\n\n'
    )
    USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}\n\n'

    @given(st.lists(st.integers(0, 350), max_size=12))
    def test_does_not_depend_on_how_the_bytes_arrive(self, cuts):
        data = self.SAID + self.USAGE + b"data: [DONE]\n\n"
        meter = StreamMeter(hides_usage=True)

        edges = [0, *sorted(cuts), len(data)]
        parts = [data[start:end] for start, end in pairwise(edges)]
        passed = b"".join(meter.feed(part) for part in parts) + meter.finish()

        assert passed == self.SAID.replace(b"\r\n", b"\n") + b"data: [DONE]\n\n"
        assert meter.spoken_text == "The box was broken é"
        assert meter.output_tokens == 5
        assert meter.reported == Usage(input_tokens=9, output_tokens=5)
        assert meter.finish_reason == "stop"
        assert meter.is_done

    def test_shows_the_usage_when_asked(self):
        assert StreamMeter(hides_usage=False).feed(self.USAGE) == self.USAGE

    def test_passes_on_usage_that_comes_with_an_answer(self):
        event = b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
        meter = StreamMeter(hides_usage=True)

        assert meter.feed(event) == event
        assert meter.reported == Usage(1, 1)

    def test_is_not_misled_by_a_text_that_looks_like_an_event(self):
        text = 'x\n\ndata: {"usage":{"prompt_tokens":9}}\n\ndata: [DONE]\n\n'
        event = b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": text}}]}) + b"\n\n"
        meter = StreamMeter(hides_usage=True)

        assert meter.feed(event + self.USAGE) == event
        assert meter.spoken_text == text
        assert not meter.is_done

    def test_takes_an_error_event_for_the_end(self):
        meter = StreamMeter(hides_usage=True)

        passed = meter.feed(self.SAID + b'data: {"error": {"message": "overloaded"}}\n\n')

        assert passed == self.SAID.replace(b"\r\n", b"\n")
        assert meter.failure == ("broke off with an error", b'{"error": {"message": "overloaded"}}')

    def test_takes_a_last_event_without_its_empty_line(self):
        meter = StreamMeter(hides_usage=True)

        assert meter.feed(b"data: [DONE]\n") == b""
        assert meter.finish() == b"data: [DONE]\n\n"
        assert meter.is_done


class TestReadUsage:
    @pytest.mark.parametrize(
        ("report", "usage"),
        [
            ({"prompt_tokens": 10, "completion_tokens": 4}, Usage(10, 4)),
            ({"prompt_tokens": 10, "total_tokens": 10}, Usage(10, 0)),
            (  # OpenAI
                {
                    "prompt_tokens": 10,
                    "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 6, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
                Usage(10, 4, cached_input_tokens=6, reasoning_tokens=3),
            ),
            (  # DeepSeek
                {"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6},
                Usage(10, 4, cached_input_tokens=6),
            ),
            (  # Anthropic behind an OpenAI-shaped proxy
                {"prompt_tokens": 10, "completion_tokens": 4, "cache_creation_input_tokens": 5},
                Usage(10, 4, cache_write_tokens=5),
            ),
            (  # parts are never more than the whole
                {
                    "prompt_tokens": 10,
                    "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
                    "completion_tokens_details": {"reasoning_tokens": 5},
                },
                Usage(10, 4, cached_input_tokens=10, reasoning_tokens=4),
            ),
        ],
    )
    def test_understands_what_providers_report(self, report, usage):
        assert read_usage(msgspec.Raw(json.dumps(report).encode())) == usage

    def test_keeps_the_reported_cost_exact(self):
        raw = msgspec.Raw(b'{"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.000000123456789012345}')

        usage = read_usage(raw)

        assert usage.provider_cost == Decimal("0.000000123456789012345")
        assert usage.currency == "USD"

    @pytest.mark.parametrize(
        "report",
        [
            b"",
            b"null",
            b"{}",
            b"[]",
            b'{"prompt_tokens": -1}',
            b'{"prompt_tokens": "ten"}',
            b'{"completion_tokens": 4}',
        ],
    )
    def test_does_not_believe_what_cannot_be(self, report):
        assert read_usage(msgspec.Raw(report)) is None


class TestStatusError:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "answered", "charged"),
        [
            (400, b"", ProviderRefused, 400, False),
            (413, b"", ProviderRefused, 413, False),
            (402, b"", ProviderMisconfigured, 502, False),
            (403, b"", ProviderMisconfigured, 502, False),
            (429, b"", ProviderRateLimited, 429, False),
            (429, b'{"error":{"code":"insufficient_quota"}}', ProviderMisconfigured, 502, False),
            (504, b"", ProviderTimeout, 504, True),
            (529, b"", ProviderUnavailable, 502, False),
            (502, b"", ProviderUnavailable, 502, True),
        ],
    )
    def test_says_what_a_status_means(self, status, body, kind, answered, charged):
        error = status_error("demo", status=status, headers={}, body=body)

        assert type(error) is kind
        assert (error.status, error.was_maybe_charged, error.provider_status) == (answered, charged, status)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("3", 3.0),
            ("0.5", 0.5),
            ("-2", 0.0),
            ("soon", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ],
    )
    def test_reads_when_to_come_back(self, value, seconds):
        assert read_retry_after({} if value is None else {"Retry-After": value}) == seconds


class TestBodies:
    def test_change_only_the_fields_named(self):
        body = b'{"model": "auto", "messages": [{"role": "user",  "content": "a\\u0062"}], "seed": 1.10}'

        changed = replace_fields(body, model="llm-8b", max_tokens=5)

        assert b'[{"role": "user",  "content": "a\\u0062"}]' in changed
        assert b"1.10" in changed
        assert json.loads(changed)["model"] == "llm-8b"
        assert json.loads(changed)["max_tokens"] == 5

    def test_have_every_field_once(self):
        assert replace_fields(b'{"max_tokens": 1, "max_tokens": 900}') == b'{"max_tokens":900}'

    @pytest.mark.parametrize(
        ("body", "has_asked"),
        [
            (b'{"stream": true}', False),
            (b'{"stream_options": null}', False),
            (b'{"stream_options": {"include_usage": false, "x": 1}}', False),
            (b'{"stream_options": {"include_usage": true}}', True),
            (b'{"stream_options": [1]}', False),
        ],
    )
    def test_always_ask_for_usage(self, body, has_asked):
        asking, was_asked = ask_for_usage(body)

        assert json.loads(asking)["stream_options"]["include_usage"] is True
        assert json.loads(asking)["stream"] is True
        assert was_asked == has_asked


class TestEcho:
    def test_says_back_what_it_was_told(self):
        echo = EchoProvider()

        completion = asyncio.run(echo.complete(chat("one two three")))

        assert json.loads(completion.body)["choices"][0]["message"]["content"] == "one two three"
        assert completion.usage == Usage(input_tokens=3 + 4 + 3, output_tokens=3)
        assert echo.calls == [chat("one two three")]

    def test_obeys_the_limit(self):
        completion = asyncio.run(EchoProvider().complete(chat("one two three", max_tokens=2)))

        assert completion.finish_reason == "length"
        assert completion.usage.output_tokens == 2

    def test_streams_like_the_real_one(self):
        passed, stream = asyncio.run(read_all(EchoProvider(), chat("one two three")))

        assert passed.endswith(b"data: [DONE]\n\n")
        assert b"usage" not in passed
        assert stream.usage() == Usage(input_tokens=10, output_tokens=3)
        assert stream.is_complete

    def test_cuts_where_told(self):
        _, stream, _ = asyncio.run(read_until_error(EchoProvider(cut_after=2), chat("one two three")))

        assert stream.usage() == Usage(input_tokens=10, output_tokens=2, is_estimated=True)

    def test_fails_when_told(self):
        echo = EchoProvider(failures=[ProviderRateLimited("echo", "is asked to"), None])

        with pytest.raises(ProviderRateLimited, match="Provider echo is asked to"):
            asyncio.run(echo.complete(chat()))
        assert asyncio.run(echo.complete(chat())).status == 200

    def test_embeds(self):
        completion = asyncio.run(
            EchoProvider().complete({"model": "e", "input": ["a", "b"]}, path="embeddings")
        )

        assert len(json.loads(completion.body)["data"]) == 2
        assert completion.usage == Usage(input_tokens=2)

    def test_is_made_by_its_kind(self):
        endpoint = ProviderEndpoint(name="echo", base_url="echo:", kind="echo")

        assert isinstance(make_provider(endpoint, pool=ConnectionPool()), EchoProvider)
