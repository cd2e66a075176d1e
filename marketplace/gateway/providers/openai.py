"""Providers that speak OpenAI's protocol over HTTP: vLLM, Ollama and our demo provider are among them."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

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
    ProviderError,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    Usage,
)
from marketplace.gateway.providers.connections import ConnectionPool
from marketplace.gateway.providers.sse import StreamMeter

MAX_RETRIES = 2
RETRY_BASE_S = 0.05
MAX_RETRY_PAUSE_S = 2.0
"""A provider that asks for a longer pause gets no retry from here: the caller is told instead."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024

TIMEOUT_STATUSES = frozenset({408, 504, 522, 524})
OVERLOADED_STATUSES = frozenset({503, 529})
KEY_STATUSES = frozenset({401, 402, 403})


class OpenAIProvider:
    """One endpoint. Cheap to make, holds no connection of its own."""

    def __init__(
        self,
        endpoint: ProviderEndpoint,
        *,
        pool: ConnectionPool,
        max_retries: int = MAX_RETRIES,
        retry_base_s: float = RETRY_BASE_S,
    ) -> None:
        self.endpoint = endpoint
        self._pool = pool
        self._max_retries = max_retries
        self._retry_base_s = retry_base_s
        base = endpoint.base_url.rstrip("/")
        self._chat_url = URL(f"{base}/chat/completions")
        self._urls: Mapping[Path, URL] = {
            "chat/completions": self._chat_url,
            "embeddings": URL(f"{base}/embeddings"),
        }
        self._headers = _headers_of(endpoint)
        self._whole_timeout = aiohttp.ClientTimeout(
            total=endpoint.timeout_s,
            connect=endpoint.connect_timeout_s,
            sock_connect=endpoint.connect_timeout_s,
        )
        # a stream may last as long as it keeps coming: the limit is between two reads
        self._stream_timeout = aiohttp.ClientTimeout(
            total=None,
            connect=endpoint.connect_timeout_s,
            sock_connect=endpoint.connect_timeout_s,
            sock_read=endpoint.timeout_s,
        )

    async def complete(
        self, body: Body, *, path: Path = "chat/completions", headers: Mapping[str, str] = NO_HEADERS
    ) -> Completion:
        """Send a request and give the whole answer, its bytes unchanged."""
        started = perf_counter()
        data = bodies.encode(body)
        response = await self._send(data, url=self._urls[path], headers=headers, timeout=self._whole_timeout)
        try:
            answer = await self._read(response)
        finally:
            response.release()
        usage, finish_reason = self._understand(answer, path=path, request=body)
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
        data, has_asked = bodies.ask_for_usage(bodies.encode(body))
        response = await self._send(data, url=self._chat_url, headers=headers, timeout=self._stream_timeout)
        stream = OpenAIStream(
            response,
            provider=self.endpoint.name,
            request=data,
            meter=StreamMeter(hides_usage=not has_asked),
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

    async def _send(
        self, data: bytes, *, url: URL, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Send, again if that cannot be charged twice; give the opened 2xx answer."""
        for attempt in range(self._max_retries):
            try:
                return await self._attempt(data, url=url, headers=headers, timeout=timeout)
            except ProviderError as error:
                pause_s = self._pause_before_retry(error, attempt=attempt)
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        return await self._attempt(data, url=url, headers=headers, timeout=timeout)

    def _pause_before_retry(self, error: ProviderError, *, attempt: int) -> float | None:
        if error.was_maybe_charged or not error.is_retryable:
            return None
        pause_s = error.asked_pause_s or 0.0
        if pause_s > MAX_RETRY_PAUSE_S:
            return None
        # jitter, or all callers that were refused together come back together
        return pause_s + random.uniform(0, self._retry_base_s * 2**attempt)

    async def _attempt(
        self, data: bytes, *, url: URL, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        sent_headers = self._headers
        if headers:
            sent_headers = self._headers.copy()
            sent_headers.update(headers)
        try:
            response = await self._pool.session().post(
                url, data=data, headers=sent_headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error_of(error) from error
        if response.status < 300:
            return response
        raise await self._refusal(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            body = await _read_up_to(response, MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error_of(error) from error
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise ProviderBadResponse(self.endpoint.name, "sent an answer that is too large")
        return body

    def _understand(self, answer: bytes, *, path: Path, request: Body) -> tuple[Usage, str | None]:
        try:
            fields = answer_decoder.decode(answer)
            usage = read_usage(fields.usage)
            if path == "embeddings":
                if not is_given(fields.data):
                    raise msgspec.ValidationError("no data")
                return usage or _counted(request, []), None
            if not is_given(fields.choices):
                raise msgspec.ValidationError("no choices")
            finish_reason = read_finish_reason(fields.choices)
            return usage or _counted(request, read_texts(fields.choices)), finish_reason
        except msgspec.DecodeError as error:
            raise ProviderBadResponse(
                self.endpoint.name,
                "sent an answer that is not what was agreed",
                body=answer[:MAX_ERROR_BYTES],
            ) from error

    def _error_of(self, error: Exception) -> ProviderError:
        return transport_error(self.endpoint.name, error)

    async def _refusal(self, response: aiohttp.ClientResponse) -> ProviderError:
        try:
            body = await _read_up_to(response, MAX_ERROR_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError):
            body = b""  # the status says enough
        response.close() if len(body) > MAX_ERROR_BYTES else response.release()
        return status_error(
            self.endpoint.name, status=response.status, headers=response.headers, body=body[:MAX_ERROR_BYTES]
        )


class OpenAIStream:
    """A stream that is being read; see ``base.Stream``."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        provider: str,
        request: bytes,
        meter: StreamMeter,
        started: float,
    ) -> None:
        self.status = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.first_byte_ms: int | None = None
        self.is_read = False
        self._content = response.content
        self._provider = provider
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
        """Give the reported usage, else the prompt and what has arrived, counted."""
        return self._meter.reported or _counted(self._request, self._meter.texts)

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
        try:
            data = await self._content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(self._provider, error) from error
        if data:
            if self.first_byte_ms is None:
                self.first_byte_ms = _ms_since(self._started)
            return self._meter.feed(data)
        passed = self._meter.finish()
        if self._meter.failure:
            return passed
        if not (self._meter.is_done or self._meter.finish_reason):
            raise ProviderBadResponse(self._provider, "stopped in the middle of its answer")
        self.is_read = True
        return passed


def transport_error(provider: str, error: Exception) -> ProviderError:
    """Say what a failure on the way means, above all whether the request can have arrived."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ProviderTimeout(provider, "could not be reached in time", was_maybe_charged=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        return ProviderUnavailable(provider, "could not be reached", was_maybe_charged=False)
    if isinstance(error, TimeoutError):
        return ProviderTimeout(provider, "did not answer in time")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ProviderBadResponse(provider, "stopped in the middle of its answer")
    return ProviderUnavailable(provider, "closed the connection")


def status_error(provider: str, *, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Say what an answer that is not 2xx means."""
    common: Any = {"provider_status": status, "body": body, "asked_pause_s": read_retry_after(headers)}
    if status in KEY_STATUSES or (status == 429 and b"insufficient_quota" in body):
        return ProviderMisconfigured(provider, f"does not accept our account ({status})", **common)
    if status == 429:
        return ProviderRateLimited(provider, "limits our rate", **common)
    if status in TIMEOUT_STATUSES:
        return ProviderTimeout(provider, f"did not finish in time ({status})", **common)
    if status in OVERLOADED_STATUSES:
        return ProviderUnavailable(provider, "is overloaded", was_maybe_charged=False, **common)
    if status >= 500:
        return ProviderUnavailable(provider, f"failed ({status})", **common)
    if status < 400:
        return ProviderMisconfigured(provider, f"answers from another address ({status})", **common)
    return ProviderRefused(provider, f"refuses the request ({status})", status=status, **common)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date; None when absent or not readable."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


async def _read_up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body; when it is longer than the limit, stop soon after it."""
    length = response.content_length
    if length is not None and length <= limit and "Content-Encoding" not in response.headers:
        return await response.read()
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > limit:
            break
    return bytes(parts)


def _counted(request: Body, texts: list[str]) -> Usage:
    return Usage(
        input_tokens=tokens.count_prompt(bodies.decode(request)),
        output_tokens=tokens.count_outputs(texts),
        is_estimated=True,
    )


def _headers_of(endpoint: ProviderEndpoint) -> CIMultiDict[str]:
    headers = CIMultiDict(
        {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "halfpenny-gateway",
        }
    )
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    return headers


def _ms_since(started: float) -> int:
    return round((perf_counter() - started) * 1000)
