"""Send requests to a provider over HTTP, again where that cannot be charged twice, and say what failures mean."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from marketplace.gateway.providers.base import (
    ProviderBadResponse,
    ProviderEndpoint,
    ProviderError,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from marketplace.gateway.providers.connections import ConnectionPool

MAX_RETRIES = 2
RETRY_BASE_S = 0.05
MAX_RETRY_PAUSE_S = 2.0
"""A provider that asks for a longer pause gets no retry from here: the caller is told instead."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024

TIMEOUT_STATUSES = frozenset({408, 504, 522, 524})
OVERLOADED_STATUSES = frozenset({503, 529})
KEY_STATUSES = frozenset({401, 402, 403})


class Transport:
    """The way to one endpoint. Cheap to make, holds no connection of its own."""

    def __init__(
        self,
        endpoint: ProviderEndpoint,
        *,
        pool: ConnectionPool,
        headers: Mapping[str, str],
        max_retries: int = MAX_RETRIES,
        retry_base_s: float = RETRY_BASE_S,
    ) -> None:
        self._endpoint = endpoint
        self._name = endpoint.name
        self._pool = pool
        self._max_retries = max_retries
        self._retry_base_s = retry_base_s
        self._headers = CIMultiDict(
            {
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "halfpenny-gateway",
                **headers,
            }
        )
        connect = {"connect": endpoint.connect_timeout_s, "sock_connect": endpoint.connect_timeout_s}
        self._whole_timeout = aiohttp.ClientTimeout(total=endpoint.timeout_s, **connect)
        # A stream may last as long as it keeps coming: who reads it sets the time between two pieces.
        self._stream_timeout = aiohttp.ClientTimeout(total=None, **connect)

    async def get(self, url: URL) -> tuple[int, bytes]:
        """Ask once for something that costs nothing; give the status and the body. Raises ProviderError."""
        try:
            async with self._pool.session().get(
                url, headers=self._headers, timeout=self._whole_timeout, allow_redirects=False
            ) as response:
                return response.status, await _read_up_to(response, MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(self._name, error) from error

    async def ask(
        self, data: bytes, *, url: URL, headers: Mapping[str, str]
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a request and read its whole 2xx answer."""
        response = await self._send(data, url=url, headers=headers, timeout=self._whole_timeout)
        try:
            answer = await self._read(response)
        finally:
            response.release()
        return response, answer

    async def open(self, data: bytes, *, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a request and give its opened 2xx answer once its head is there."""
        try:
            async with asyncio.timeout(self._endpoint.first_byte_timeout_s):
                return await self._send(data, url=url, headers=headers, timeout=self._stream_timeout)
        except TimeoutError as error:
            raise transport_error(self._name, error) from error

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
            raise transport_error(self._name, error) from error
        if response.status < 300:
            return response
        raise await self._refusal(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            body = await _read_up_to(response, MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(self._name, error) from error
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise ProviderBadResponse(self._name, "sent an answer that is too large")
        return body

    async def _refusal(self, response: aiohttp.ClientResponse) -> ProviderError:
        try:
            body = await _read_up_to(response, MAX_ERROR_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError):
            body = b""  # the status says enough
        response.close() if len(body) > MAX_ERROR_BYTES else response.release()
        return status_error(
            self._name, status=response.status, headers=response.headers, body=body[:MAX_ERROR_BYTES]
        )


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
