"""A provider in the same process, for tests: it answers with what it was told, and fails as it was told."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from marketplace.gateway import tokens
from marketplace.gateway.providers import bodies
from marketplace.gateway.providers.base import (
    NO_HEADERS,
    Body,
    Completion,
    Path,
    ProviderBadResponse,
    ProviderEndpoint,
    ProviderError,
    Usage,
)
from marketplace.gateway.providers.sse import StreamMeter

ECHO_ENDPOINT = ProviderEndpoint(name="echo", base_url="echo:", kind="echo")


class EchoProvider:
    """Says the last message back, token by token when streamed.

    ``failures`` are raised by the first calls, one each (None: that call succeeds). ``cut_after`` ends every
    stream after so many events. ``reports_usage=False`` leaves the counting to the caller. ``calls`` holds
    every decoded request body.
    """

    def __init__(
        self,
        endpoint: ProviderEndpoint = ECHO_ENDPOINT,
        *,
        failures: Iterable[ProviderError | None] = (),
        cut_after: int | None = None,
        reports_usage: bool = True,
    ) -> None:
        self.endpoint = endpoint
        self.calls: list[Mapping[str, Any]] = []
        self._failures = deque(failures)
        self._cut_after = cut_after
        self._reports_usage = reports_usage

    async def complete(
        self, body: Body, *, path: Path = "chat/completions", headers: Mapping[str, str] = NO_HEADERS
    ) -> Completion:
        request = self._admit(body)
        if path == "embeddings":
            return self._completion(request, text="", answer={"data": _embeddings(request)})
        pieces, finish_reason = _reply(request)
        message = {"role": "assistant", "content": "".join(pieces)}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        return self._completion(
            request, text=message["content"], answer={"choices": [choice]}, finish_reason=finish_reason
        )

    @asynccontextmanager
    async def stream(
        self, body: Body, *, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncIterator["EchoStream"]:
        request = self._admit(body)
        has_asked = bool((request.get("stream_options") or {}).get("include_usage"))
        yield EchoStream(
            self._events(request),
            provider=self.endpoint.name,
            request=request,
            meter=StreamMeter(hides_usage=not has_asked),
        )

    def _admit(self, body: Body) -> Mapping[str, Any]:
        request = bodies.decode(body)
        self.calls.append(request)
        failure = self._failures.popleft() if self._failures else None
        if failure is not None:
            raise failure
        return request

    def _completion(
        self,
        request: Mapping[str, Any],
        *,
        text: str,
        answer: dict[str, Any],
        finish_reason: str | None = None,
    ) -> Completion:
        usage = Usage(
            input_tokens=tokens.count_prompt(request),
            output_tokens=tokens.count(text),
            is_estimated=not self._reports_usage,
        )
        if self._reports_usage:
            answer["usage"] = _usage_report(usage)
        return Completion(
            status=200,
            body=msgspec.json.encode({"object": "echo", "model": request.get("model"), **answer}),
            usage=usage,
            finish_reason=finish_reason,
            headers={"content-type": "application/json"},
            latency_ms=0,
        )

    def _events(self, request: Mapping[str, Any]) -> list[bytes]:
        pieces, finish_reason = _reply(request)
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            for piece in pieces
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]})
        if self._reports_usage:
            usage = Usage(input_tokens=tokens.count_prompt(request), output_tokens=len(pieces))
            chunks.append({"choices": [], "usage": _usage_report(usage)})
        events = [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]
        return [*events, b"data: [DONE]\n\n"][: self._cut_after]


class EchoStream:
    """A stream out of a list; see ``base.Stream``."""

    def __init__(
        self, events: list[bytes], *, provider: str, request: Mapping[str, Any], meter: StreamMeter
    ) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": "text/event-stream"}
        self.first_byte_ms: int | None = None
        self._events = deque(events)
        self._provider = provider
        self._request = request
        self._meter = meter

    @property
    def finish_reason(self) -> str | None:
        return self._meter.finish_reason

    @property
    def is_complete(self) -> bool:
        return self._meter.is_done

    @property
    def text_so_far(self) -> str:
        return self._meter.spoken_text

    @property
    def output_tokens_so_far(self) -> int:
        return self._meter.output_tokens

    def usage(self) -> Usage:
        return self._meter.reported or Usage(
            input_tokens=tokens.count_prompt(self._request),
            output_tokens=self._meter.output_tokens,
            is_estimated=True,
        )

    def __aiter__(self) -> "EchoStream":
        return self

    async def __anext__(self) -> bytes:
        while self._events:
            self.first_byte_ms = 0
            passed = self._meter.feed(self._events.popleft())
            if passed:
                return passed
        if not self._meter.is_done:
            raise ProviderBadResponse(self._provider, "stopped in the middle of its answer")
        raise StopAsyncIteration


def _reply(request: Mapping[str, Any]) -> tuple[list[str], str]:
    content = request["messages"][-1].get("content") or ""
    pieces = tokens.split(content if isinstance(content, str) else str(content))
    limit = tokens.requested_output({**request, "n": 1}, default=len(pieces) + 1)
    return pieces[:limit], "stop" if len(pieces) <= limit else "length"


def _embeddings(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = request["input"]
    count = 1 if isinstance(given, str) else len(given)
    return [{"object": "embedding", "index": index, "embedding": [1.0, 0.0]} for index in range(count)]


def _usage_report(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
