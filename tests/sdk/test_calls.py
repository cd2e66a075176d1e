"""meter() as decorator and context manager: functions, coroutines, generators, streams; failures; never in the way."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from marketplace.sdk import Meter, current_call
from tests.sdk.conftest import MakeMeter
from tests.sdk.server import MeterServer


def response(model: str = "gpt-5-mini", prompt: int = 10, completion: int = 4) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"model": model, "usage": counts}


CHUNKS: list[dict[str, Any]] = [
    {"object": "chat.completion.chunk", "model": "gpt-5-mini", "usage": None, "choices": [{"delta": "Hel"}]},
    {"object": "chat.completion.chunk", "model": "gpt-5-mini", "usage": None, "choices": [{"delta": "lo"}]},
    {"object": "chat.completion.chunk", "choices": [], **response()},
]


@pytest.fixture
def sent(meter: Meter, server: MeterServer) -> "Sent":
    return Sent(meter, server)


class Sent:
    """What arrived, by fields that are the same in every run."""

    def __init__(self, meter: Meter, server: MeterServer) -> None:
        self._meter = meter
        self._server = server

    def __call__(self) -> list[dict[str, Any]]:
        assert self._meter.flush()
        unsteady = {"id", "timestamp", "latency_ms", "app_id"}
        return [
            {name: value for name, value in event.items() if name not in unsteady}
            for event in self._server.events.values()
        ]


USED = {"model": "gpt-5-mini", "input_tokens": 10, "output_tokens": 4}


class TestFunction:
    def test_is_recorded_with_what_it_returned(self, meter: Meter, sent: Sent) -> None:
        @meter.meter(feature="summary", tags={"job": "nightly"})
        def ask() -> dict[str, Any]:
            return response()

        assert ask() == response()
        assert sent() == [{**USED, "feature": "summary", "tags": {"job": "nightly"}}]

    def test_keeps_its_name_signature_and_documentation(self, meter: Meter) -> None:
        @meter.meter
        def ask(question: str, *, hurry: bool = False) -> dict[str, Any]:
            """Ask."""
            return response()

        assert ask.__name__ == "ask"
        assert ask.__doc__ == "Ask."
        assert list(inspect.signature(ask).parameters) == ["question", "hurry"]

    def test_passes_on_its_exception_and_records_nothing_when_nothing_was_used(
        self, meter: Meter, sent: Sent
    ) -> None:
        @meter.meter
        def ask() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            ask()

        assert sent() == []

    def test_that_fails_after_using_something_is_recorded(self, meter: Meter, sent: Sent) -> None:
        @meter.meter
        def ask() -> None:
            call = current_call()
            assert call is not None
            call.observe(response())
            raise ValueError("the answer is not JSON")

        with pytest.raises(ValueError, match="not JSON"):
            ask()

        assert sent() == [USED]

    def test_that_fails_with_usage_in_the_error_is_recorded(self, meter: Meter, sent: Sent) -> None:
        class ApiError(Exception):
            body = response()

        @meter.meter
        def ask() -> None:
            raise ApiError

        with pytest.raises(ApiError):
            ask()

        assert sent() == [USED]

    def test_takes_the_response_from_where_find_says(self, meter: Meter, sent: Sent) -> None:
        @meter.meter(find=lambda result: result[1])
        def ask() -> tuple[str, dict[str, Any]]:
            return "text", response()

        ask()

        assert sent() == [USED]

    def test_uses_the_model_that_is_given_before_the_provider_s(self, meter: Meter, sent: Sent) -> None:
        meter.meter(model="llm-8b")(response)()

        assert sent() == [{**USED, "model": "llm-8b"}]

    def test_without_usage_is_recorded_as_a_request(
        self, meter: Meter, sent: Sent, caplog: pytest.LogCaptureFixture
    ) -> None:
        meter.meter(feature="lookup")(lambda: "no usage in here")()

        assert sent() == [{"feature": "lookup"}]
        assert "No usage was found" in caplog.text

    def test_with_an_instance_type_is_recorded_with_its_duration(self, meter: Meter, sent: Sent) -> None:
        meter.meter(instance_type="g4dn.xlarge")(lambda: None)()

        assert sent()[0].keys() == {"instance_type", "duration_ms"}

    def test_in_many_threads_is_recorded_each_time(self, meter: Meter, sent: Sent) -> None:
        ask = meter.meter(response)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ask(), range(200)))

        assert sent() == [USED] * 200

    def test_of_an_unknown_field_is_refused_where_it_is_written(self, meter: Meter) -> None:
        with pytest.raises(TypeError, match="has no field colour"):
            meter.meter(colour="red")

    def test_is_not_disturbed_by_a_response_that_cannot_be_read(self, meter: Meter, sent: Sent) -> None:
        class Broken:
            @property
            def usage(self) -> None:
                raise RuntimeError("no")

        result = Broken()

        assert meter.meter(lambda: result)() is result
        assert len(sent()) == 1


class TestBlock:
    def test_adds_up_responses_of_one_model(self, meter: Meter, sent: Sent) -> None:
        with meter.meter(subscription="s-1") as call:
            call.observe(response())
            call.observe(response(prompt=1, completion=1))

        # 10 + 1 and 4 + 1
        assert sent() == [
            {
                "subscription": "s-1",
                "model": "gpt-5-mini",
                "input_tokens": 11,
                "output_tokens": 5,
                "requests": 2,
            }
        ]

    def test_makes_an_event_for_each_model(self, meter: Meter, sent: Sent) -> None:
        with meter.meter() as call:
            call.observe(response())
            call.observe(response(model="embed-small", completion=0))

        assert sent() == [USED, {"model": "embed-small", "input_tokens": 10}]

    def test_learns_inside_whom_it_is_for(self, meter: Meter, sent: Sent) -> None:
        with meter.meter() as call:
            call.set(subscription="s-2", cost_center="CC-100")
            call.observe(response())

        assert sent() == [{**USED, "subscription": "s-2", "cost_center": "CC-100"}]

    def test_passes_on_the_exception_and_records_what_was_used(self, meter: Meter, sent: Sent) -> None:
        with pytest.raises(KeyError), meter.meter() as call:
            call.observe(response())
            raise KeyError

        assert sent() == [USED]

    def test_may_be_nested_and_used_again(self, meter: Meter, sent: Sent) -> None:
        metered = meter.meter()

        with metered as outer:
            with metered as inner:
                assert current_call() is inner
                inner.observe(response())
            assert current_call() is outer
            outer.observe(response(prompt=1))

        assert [event["input_tokens"] for event in sent()] == [10, 1]
        assert current_call() is None

    def test_watches_a_stream(self, meter: Meter, sent: Sent) -> None:
        with meter.meter() as call:
            texts = [chunk["choices"] for chunk in call.watch(iter(CHUNKS))]

        assert len(texts) == 3
        assert sent() == [USED]


class TestStream:
    def test_of_a_generator_is_recorded_at_its_end(self, meter: Meter, sent: Sent) -> None:
        @meter.meter
        def ask() -> Iterator[dict[str, Any]]:
            yield from CHUNKS

        assert inspect.isgeneratorfunction(ask)
        assert list(ask()) == CHUNKS
        assert sent() == [USED]

    def test_of_a_generator_takes_what_is_sent_and_returns_its_value(self, meter: Meter) -> None:
        @meter.meter
        def ask() -> Any:
            got = yield 1
            try:
                yield got
            except KeyError:
                return "returned"

        generator = ask()

        assert (next(generator), generator.send("sent")) == (1, "sent")
        with pytest.raises(StopIteration) as stop:
            generator.throw(KeyError())
        assert stop.value.value == "returned"

    def test_that_is_left_early_is_recorded_with_what_was_seen(self, meter: Meter, sent: Sent) -> None:
        """Anthropic tells the input at the beginning and counts the output up."""
        events = [
            {
                "type": "message_start",
                "message": {
                    "model": "claude-haiku-4-5",
                    "usage": {"input_tokens": 25, "cache_read_input_tokens": 75, "output_tokens": 1},
                },
            },
            {"type": "content_block_delta", "delta": {"text": "Hello"}},
            {"type": "message_delta", "usage": {"output_tokens": 15, "cache_read_input_tokens": None}},
            {"type": "message_stop"},
        ]

        @meter.meter
        def ask() -> Iterator[dict[str, Any]]:
            yield from events

        first = ask()
        assert next(first) == events[0]
        first.close()
        list(ask())

        # 25 + 75 cached
        cut, whole = sent()
        assert cut == {
            "model": "claude-haiku-4-5", "input_tokens": 100, "output_tokens": 1, "cached_input_tokens": 75,
        }  # fmt: skip
        assert whole == {**cut, "output_tokens": 15}

    def test_that_a_function_returns_keeps_its_other_methods(self, meter: Meter, sent: Sent) -> None:
        class Stream:
            status = 200

            def __init__(self) -> None:
                self._chunks = iter(CHUNKS)
                self.is_closed = False

            def __iter__(self) -> "Stream":
                return self

            def __next__(self) -> Any:
                return next(self._chunks)

            def close(self) -> None:
                self.is_closed = True

        stream = meter.meter(Stream)()

        assert list(stream) == CHUNKS
        assert stream.status == 200
        stream.close()
        assert stream.is_closed
        assert sent() == [USED]

    def test_of_the_responses_api_is_read_from_its_last_event(self, meter: Meter, sent: Sent) -> None:
        counts = {"input_tokens": 10, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 0}}
        events = [
            {"type": "response.output_text.delta", "delta": "Hello"},
            {"type": "response.completed", "response": {"model": "gpt-5-mini", "usage": counts}},
        ]

        list(meter.meter(lambda: iter(events))())

        assert sent() == [USED]

    def test_of_gemini_counts_once_though_every_chunk_tells(self, meter: Meter, sent: Sent) -> None:
        chunks = [
            {
                "modelVersion": "gemini-2.5-flash",
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": n},
            }
            for n in (1, 5, 8)
        ]

        list(meter.meter(lambda: iter(chunks))())

        assert sent() == [{"model": "gemini-2.5-flash", "input_tokens": 9, "output_tokens": 8}]


class TestAsync:
    def test_function_is_recorded(self, meter: Meter, sent: Sent) -> None:
        @meter.meter(feature="a")
        async def ask() -> dict[str, Any]:
            await asyncio.sleep(0)
            call = current_call()
            assert call is not None
            call.set(subscription="s-3")
            return response()

        assert inspect.iscoroutinefunction(ask)
        assert asyncio.run(ask()) == response()
        assert sent() == [{**USED, "feature": "a", "subscription": "s-3"}]

    def test_function_keeps_its_exception(self, meter: Meter, sent: Sent) -> None:
        @meter.meter
        async def ask() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            asyncio.run(ask())

        assert sent() == []

    def test_tasks_do_not_mix_their_calls(self, meter: Meter, sent: Sent) -> None:
        async def ask(number: int) -> None:
            async with meter.meter(feature=f"f{number}") as call:
                await asyncio.sleep(0)
                assert current_call() is call
                call.observe(response(prompt=number))

        async def main() -> None:
            await asyncio.gather(*(ask(number) for number in range(1, 6)))

        asyncio.run(main())

        assert sorted((event["feature"], event["input_tokens"]) for event in sent()) == [
            ("f1", 1), ("f2", 2), ("f3", 3), ("f4", 4), ("f5", 5),
        ]  # fmt: skip

    def test_generator_is_recorded_at_its_end(self, meter: Meter, sent: Sent) -> None:
        @meter.meter
        async def ask() -> AsyncIterator[dict[str, Any]]:
            for chunk in CHUNKS:
                yield chunk

        async def main() -> list[dict[str, Any]]:
            return [chunk async for chunk in ask()]

        assert inspect.isasyncgenfunction(ask)
        assert asyncio.run(main()) == CHUNKS
        assert sent() == [USED]

    def test_generator_takes_what_is_sent_and_thrown(self, meter: Meter) -> None:
        @meter.meter
        async def ask() -> Any:
            got = yield 1
            try:
                yield got
            except KeyError:
                yield "caught"

        async def main() -> list[Any]:
            generator = ask()
            seen = [await generator.asend(None), await generator.asend("sent")]
            return [*seen, await generator.athrow(KeyError())]

        assert asyncio.run(main()) == [1, "sent", "caught"]

    def test_stream_that_a_coroutine_returns_is_recorded_at_its_end(self, meter: Meter, sent: Sent) -> None:
        async def chunks() -> AsyncIterator[dict[str, Any]]:
            for chunk in CHUNKS:
                yield chunk

        @meter.meter
        async def ask() -> AsyncIterator[dict[str, Any]]:
            return chunks()

        async def main() -> int:
            return len([chunk async for chunk in await ask()])

        assert asyncio.run(main()) == 3
        assert sent() == [USED]

    def test_function_behind_a_plain_one_is_recorded(self, meter: Meter, sent: Sent) -> None:
        async def inner() -> dict[str, Any]:
            return response()

        async def main() -> dict[str, Any]:
            result: dict[str, Any] = await meter.meter(lambda: inner())()
            return result

        assert asyncio.run(main()) == response()
        assert sent() == [USED]


class TestRecord:
    def test_sends_the_fields_and_returns_the_id(self, meter: Meter, server: MeterServer) -> None:
        event_id = meter.record(
            model="llm-8b", input_tokens=480, output_tokens=96, reasoning_tokens=0, latency_ms=230
        )
        meter.flush()

        event = server.events[event_id]
        assert event.pop("timestamp").endswith("Z")
        assert event == {
            "id": event_id, "app_id": "where2eat", "model": "llm-8b", "input_tokens": 480,
            "output_tokens": 96, "reasoning_tokens": 0, "latency_ms": 230,
        }  # fmt: skip

    def test_reads_a_response_and_lets_given_fields_stand(self, meter: Meter, sent: Sent) -> None:
        meter.record(response(), model="llm-8b", feature="f")

        assert sent() == [{**USED, "model": "llm-8b", "feature": "f"}]

    def test_translates_models(self, make_meter: MakeMeter, server: MeterServer) -> None:
        meter = make_meter(models={"gpt-5-mini-2025-08-07": "gpt-5-mini"}, environment="staging")
        event_id = meter.record(response(model="gpt-5-mini-2025-08-07"))
        meter.flush()

        assert server.events[event_id]["model"] == "gpt-5-mini"
        assert server.events[event_id]["environment"] == "staging"

    def test_counts_once_under_an_id_of_one_s_own(self, make_meter: MakeMeter, server: MeterServer) -> None:
        meter = make_meter()
        at = datetime.fromisoformat("2026-11-01T10:00:00+01:00")
        for _ in range(2):
            meter.record(event_id="job-7", tokens=5, model="llm-8b", timestamp=at)
        meter.flush()

        assert list(server.events) == ["job-7"]
        assert server.events["job-7"]["timestamp"] == "2026-11-01T09:00:00Z"
        assert meter.counts["duplicates"] == 1

    def test_of_what_has_no_json_is_kept_as_damaged(self, make_meter: MakeMeter, server: MeterServer) -> None:
        problems: list[Any] = []
        meter = make_meter(on_problem=problems.append)

        meter.record(model="llm-8b", latency_ms=float("nan"))  # type: ignore[arg-type]
        good = meter.record(model="llm-8b", tokens=1)
        meter.flush()

        assert list(server.events) == [good]
        assert [problem.status for problem in problems] == ["damaged"]

    def test_does_nothing_when_disabled(self, make_meter: MakeMeter, server: MeterServer) -> None:
        meter = make_meter(disabled=True, url="", key="")

        assert meter.record(tokens=1)
        assert meter.flush()
        assert server.requests == []
