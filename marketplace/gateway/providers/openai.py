"""Providers that speak OpenAI's protocol over HTTP, or one that a wire translates it into: vLLM, Ollama, SGLang, llama.cpp,
hosted ones, and our demo provider are among them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter

import aiohttp
import msgspec
from multidict import CIMultiDictProxy

from marketplace.gateway import tokens
from marketplace.gateway.providers import bodies
from marketplace.gateway.providers.answers import (
    answer_decoder,
    is_given,
    read_finish_reason,
    read_texts,
    read_usage,
)
from marketplace.gateway.providers.base import (
    NO_HEADERS,
    Body,
    Completion,
    Path,
    ProviderBadResponse,
    ProviderEndpoint,
    Usage,
)
from marketplace.gateway.providers.connections import ConnectionPool
from marketplace.gateway.providers.sse import StreamMeter
from marketplace.gateway.providers.transport import (
    MAX_ERROR_BYTES,
    MAX_RETRIES,
    RETRY_BASE_S,
    Transport,
    transport_error,
)
from marketplace.gateway.providers.wires import OpenAIWire, Translator, Wire, refused_in_openai_words


class OpenAIProvider:
    """One endpoint; ``wire`` says everything in the endpoint's own words. Cheap to make, holds no connection."""

    def __init__(
        self,
        endpoint: ProviderEndpoint,
        *,
        pool: ConnectionPool,
        wire: Wire | None = None,
        max_retries: int = MAX_RETRIES,
        retry_base_s: float = RETRY_BASE_S,
    ) -> None:
        self.endpoint = endpoint
        self._wire = wire or OpenAIWire(endpoint)
        self._transport = Transport(
            endpoint,
            pool=pool,
            headers=self._wire.headers,
            max_retries=max_retries,
            retry_base_s=retry_base_s,
        )

    async def complete(
        self, body: Body, *, path: Path = "chat/completions", headers: Mapping[str, str] = NO_HEADERS
    ) -> Completion:
        """Send a request and give the whole answer in OpenAI's shape; from those who speak it, its bytes unchanged."""
        started = perf_counter()
        sent = self._wire.request(body, path=path)
        with refused_in_openai_words():
            response, raw = await self._transport.ask(sent.data, url=sent.url, headers=headers)
        usage, finish_reason, answer = self._understand(raw, path=path, request=body)
        return Completion(
            status=response.status,
            body=answer,
            usage=usage,
            finish_reason=finish_reason,
            headers=response.headers,
            latency_ms=_ms_since(started),
        )

    @asynccontextmanager
    async def stream(
        self, body: Body, *, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncIterator["OpenAIStream"]:
        """Open a stream; it is given once the provider has accepted. Leaving the block closes the connection.

        The provider is always asked for usage; a client that did not ask does not get the usage event.
        """
        started = perf_counter()
        sent = self._wire.stream_request(body)
        with refused_in_openai_words():
            response = await self._transport.open(sent.data, url=sent.url, headers=headers)
        stream = OpenAIStream(
            response,
            endpoint=self.endpoint,
            request=body,
            meter=StreamMeter(hides_usage=not sent.has_asked_usage),
            translator=self._wire.translator(body),
            started=started,
        )
        try:
            yield stream
        finally:
            # a stream that was not read to its end must not go back to the pool
            if stream.is_read:
                response.release()
            else:
                response.close()

    def _understand(self, raw: bytes, *, path: Path, request: Body) -> tuple[Usage, str | None, bytes]:
        try:
            answer = self._wire.answer(raw, path=path, request=request)
            fields = answer_decoder.decode(answer)
            usage = read_usage(fields.usage)
            if path == "embeddings":
                if not is_given(fields.data):
                    raise msgspec.ValidationError("no data")
                return usage or _counted(request, []), None, answer
            if not is_given(fields.choices):
                raise msgspec.ValidationError("no choices")
            finish_reason = read_finish_reason(fields.choices)
            return usage or _counted(request, read_texts(fields.choices)), finish_reason, answer
        except msgspec.DecodeError as error:
            raise ProviderBadResponse(
                self.endpoint.name,
                "sent an answer that is not what was agreed",
                body=raw[:MAX_ERROR_BYTES],
            ) from error


class OpenAIStream:
    """A stream that is being read; see ``base.Stream``."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        endpoint: ProviderEndpoint,
        request: Body,
        meter: StreamMeter,
        translator: Translator | None,
        started: float,
    ) -> None:
        self.status = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.first_byte_ms: int | None = None
        self.is_read = False
        self._content = response.content
        self._provider = endpoint.name
        self._first_byte_timeout_s = endpoint.first_byte_timeout_s
        self._idle_timeout_s = endpoint.idle_timeout_s
        self._translator = translator
        self._request = request
        self._meter = meter
        self._started = started

    @property
    def finish_reason(self) -> str | None:
        return self._meter.finish_reason

    @property
    def is_complete(self) -> bool:
        """Say whether the provider said all it wanted to say."""
        return self._meter.is_done or (self.is_read and self._meter.finish_reason is not None)

    @property
    def text_so_far(self) -> str:
        return self._meter.spoken_text

    @property
    def output_tokens_so_far(self) -> int:
        """Count what has arrived, reasoning and tool calls included, whatever the provider reports."""
        return self._meter.output_tokens

    def usage(self) -> Usage:
        """Give the reported usage, else the prompt, as reported or counted, and what has arrived, counted."""
        if self._meter.reported:
            return self._meter.reported
        counted = self._meter.output_tokens
        if self._translator is not None and self._translator.input_usage is not None:
            return replace(self._translator.input_usage, output_tokens=counted, is_estimated=True)
        return Usage(_prompt_tokens(self._request), counted, is_estimated=True)

    def __aiter__(self) -> "OpenAIStream":
        return self

    async def __anext__(self) -> bytes:
        while not self.is_read:
            if self._meter.failure:
                problem, payload = self._meter.failure
                raise ProviderBadResponse(self._provider, problem, body=payload[:MAX_ERROR_BYTES])
            passed = await self._next()
            if passed:
                return passed
        raise StopAsyncIteration

    async def _next(self) -> bytes:
        data = await self._read()
        if data:
            return self._meter.feed(self._translator.feed(data) if self._translator else data)
        passed = self._meter.feed(self._translator.finish()) if self._translator else b""
        passed += self._meter.finish()
        if self._meter.failure:
            return passed
        if not (self._meter.is_done or self._meter.finish_reason):
            raise ProviderBadResponse(self._provider, "stopped in the middle of its answer")
        self.is_read = True
        return passed

    async def _read(self) -> bytes:
        """Wait for the next piece, not for ever; empty at the end."""
        is_first = self.first_byte_ms is None
        try:
            async with asyncio.timeout(self._first_byte_timeout_s if is_first else self._idle_timeout_s):
                data = await self._content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(self._provider, error) from error
        if data and is_first:
            self.first_byte_ms = _ms_since(self._started)
        return data


def _counted(request: Body, texts: list[str]) -> Usage:
    return Usage(_prompt_tokens(request), tokens.count_outputs(texts), is_estimated=True)


def _prompt_tokens(request: Body) -> int:
    return tokens.count_prompt(bodies.decode(request))


def _ms_since(started: float) -> int:
    return round((perf_counter() - started) * 1000)
