"""Call an app that its creator runs: JSON to their endpoint, signed, within strict bounds.

The endpoint may say what a call used, in the header
``X-Halfpenny-Usage: {"model": "llm-8b", "input_tokens": 120, "output_tokens": 40}``.
"""

import asyncio
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from time import perf_counter
from typing import Annotated, Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from multidict import CIMultiDict
from yarl import URL

from marketplace.core.errors import InvalidInput, Unavailable
from marketplace.gateway.egress import (
    EndpointForbidden,
    EndpointInvalid,
    check_address,
    check_endpoint,
    host_and_port,
    split_endpoint,
)
from marketplace.gateway.providers.base import Usage
from marketplace.gateway.signatures import SIGNATURE_HEADER, sign

MAX_ANSWER_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 16 * 1024
DEFAULT_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0

INPUT_STATUSES = frozenset({400, 409, 413, 422})
"""Statuses that speak of the input; any other refusal (401, 404) means that the app is not in order."""

REQUEST_ID_HEADER = "X-Halfpenny-Request-Id"
USAGE_HEADER = "X-Halfpenny-Usage"

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What the endpoint says a call used. ``model`` is None when it does not name one."""

    model: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """A 2xx answer. ``output`` is ``body`` decoded; ``usage_problem`` says why a report was not usable."""

    status: int
    body: bytes
    output: Any
    usage: ReportedUsage | None
    usage_problem: str
    latency_ms: int


class AppRefused(InvalidInput):
    """The endpoint finds the input wrong (4xx); ``body`` is what it said."""

    code = "app_refused_input"

    def __init__(self, *, app_status: int, body: bytes) -> None:
        self.app_status, self.body = app_status, body
        super().__init__("input", f"The app refuses this input ({app_status}).")


class AppUnavailable(Unavailable):
    """The endpoint brought no usable answer. ``status`` is what the gateway answers.

    ``was_maybe_run`` says whether the app may have worked: if so the call must not be repeated by itself.
    """

    code = "app_unavailable"
    status = 502

    def __init__(
        self, problem: str, *, was_maybe_run: bool, app_status: int | None = None, retry_after_s: int = 5
    ) -> None:
        self.was_maybe_run, self.app_status = was_maybe_run, app_status
        super().__init__(f"The app {problem}.", retry_after_s=retry_after_s)


class AppTimeout(AppUnavailable):
    """The endpoint did not answer in time."""

    code = "app_timeout"
    status = 504


class HttpAppCaller:
    """Calls endpoints from one process; ``close`` it when the process stops.

    ``allowed`` holds the ``host:port`` pairs that may be private or without TLS; it holds for the life of the
    caller, because its connections were made under it.
    """

    def __init__(self, *, allowed: Collection[str] = (), limit: int = 256) -> None:
        self._allowed = frozenset(entry.lower() for entry in allowed)
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(
        self,
        url: str,
        body: bytes,
        *,
        secret: bytes,
        request_id: str,
        at: datetime,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
    ) -> AppAnswer:
        """POST a JSON body to an endpoint and give its answer; never follows a redirect, never tries twice.

        ``at`` is the time in the signature. Raises EndpointInvalid, EndpointForbidden, AppRefused,
        AppUnavailable and AppTimeout.
        """
        target = self._target(url)
        started = perf_counter()
        sent_headers = _headers(body, secret=secret, request_id=request_id, at=at, extra=headers)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            async with self._open_session().post(
                target, data=body, headers=sent_headers, timeout=timeout, allow_redirects=False
            ) as response:
                answer = await _read_answer(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, host=target.host or "") from error
        usage, usage_problem = read_usage(response.headers.get(USAGE_HEADER))
        return AppAnswer(
            status=response.status,
            body=answer,
            output=_decode(answer),
            usage=usage,
            usage_problem=usage_problem,
            latency_ms=round((perf_counter() - started) * 1000),
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _target(self, url: str) -> URL:
        check_endpoint(url, self._allowed)
        target = URL(url)
        # both readers must see the same host, or the check was about another place than the call
        if (target.host or "").rstrip(".").lower() != host_and_port(split_endpoint(url))[0]:
            raise EndpointInvalid(url, "is not a URL")
        return target

    def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=self._limit,
                # every new connection looks the name up and has the address checked that it then goes to
                resolver=PublicResolver(allowed=self._allowed),
                use_dns_cache=False,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
            self._loop = loop
        return self._session


class PublicResolver(AbstractResolver):
    """Looks names up and gives only addresses that may be called; the connector then uses exactly those."""

    def __init__(self, *, allowed: Collection[str], inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up; one address that may not be called is enough to refuse the name."""
        found = await self._inner.resolve(host, port, family)
        if f"{host.rstrip('.').lower()}:{port}" not in self._allowed:
            for entry in found:
                self._check(entry, host=host)
        return found

    async def close(self) -> None:
        await self._inner.close()

    @staticmethod
    def _check(entry: ResolveResult, *, host: str) -> None:
        try:
            check_address(ip_address(entry["host"].partition("%")[0]), host=host)
        except EndpointForbidden as error:
            # the connector passes only OSError on as a failure to resolve
            raise ForbiddenAddress(str(error), error) from error


class ForbiddenAddress(OSError):
    """Carries EndpointForbidden out of the connector."""

    def __init__(self, message: str, refusal: EndpointForbidden) -> None:
        super().__init__(message)
        self.refusal = refusal


class _UsageReport(msgspec.Struct, forbid_unknown_fields=True):
    model: str | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0


_usage_decoder = msgspec.json.Decoder(_UsageReport)


def read_usage(header: str | None) -> tuple[ReportedUsage | None, str]:
    """Read a usage header; give the usage, or what is wrong with the header."""
    if header is None:
        return None, ""
    try:
        report = _usage_decoder.decode(header.encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        return None, f"{USAGE_HEADER} cannot be read: {error}"
    if report.cached_input_tokens + report.cache_write_tokens > report.input_tokens:
        return None, f"{USAGE_HEADER} has more cached than input tokens"
    if report.reasoning_tokens > report.output_tokens:
        return None, f"{USAGE_HEADER} has more reasoning than output tokens"
    usage = Usage(
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cached_input_tokens=report.cached_input_tokens,
        cache_write_tokens=report.cache_write_tokens,
        reasoning_tokens=report.reasoning_tokens,
    )
    return ReportedUsage(model=report.model, usage=usage), ""


def _headers(
    body: bytes, *, secret: bytes, request_id: str, at: datetime, extra: Mapping[str, str] | None
) -> CIMultiDict[str]:
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidInput("request_id", "A request id is 1 to 200 printable characters.")
    headers = CIMultiDict(extra or {})
    headers.update(
        {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "halfpenny-gateway",
            REQUEST_ID_HEADER: request_id,
            SIGNATURE_HEADER: sign(body, secret=secret, at=at),
        }
    )
    return headers


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    status = response.status
    if 300 <= status < 400:
        raise AppUnavailable(
            "answers with a redirect, which is not followed", was_maybe_run=True, app_status=status
        )
    if status in (429, 503):
        raise AppUnavailable(
            "takes no more calls at the moment",
            was_maybe_run=False,
            app_status=status,
            retry_after_s=_retry_after(response.headers.get("Retry-After")),
        )
    if status in INPUT_STATUSES:
        raise AppRefused(app_status=status, body=await _read_up_to(response, MAX_ERROR_BYTES))
    if status >= 400:
        raise AppUnavailable(f"failed ({status})", was_maybe_run=status >= 500, app_status=status)
    if not _is_json(response):
        raise AppUnavailable("does not answer with JSON", was_maybe_run=True, app_status=status)
    body = await _read_up_to(response, MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise AppUnavailable("answers with more than 1 MiB", was_maybe_run=True, app_status=status)
    return body


async def _read_up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) >= limit:
            response.close()
            break
    return bytes(parts[:limit])


def _is_json(response: aiohttp.ClientResponse) -> bool:
    kind = response.content_type
    is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
    return is_plain and (kind == "application/json" or kind.endswith("+json"))


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AppUnavailable("does not answer with JSON", was_maybe_run=True, app_status=200) from error


def _failure(error: Exception, *, host: str) -> AppUnavailable | EndpointForbidden:
    """Say what a failure on the way means."""
    forbidden = _forbidden_behind(error)
    if forbidden is not None:
        return forbidden
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return AppTimeout(f"at {host} could not be reached in time", was_maybe_run=False)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        return AppUnavailable(f"at {host} could not be reached", was_maybe_run=False)
    if isinstance(error, TimeoutError):
        return AppTimeout("did not answer in time", was_maybe_run=True)
    return AppUnavailable("broke the connection off", was_maybe_run=True)


def _forbidden_behind(error: BaseException | None) -> EndpointForbidden | None:
    while error is not None:
        if isinstance(error, ForbiddenAddress):
            return error.refusal
        error = error.__cause__ or error.__context__
    return None


def _retry_after(value: str | None) -> int:
    return min(int(value), 3600) if value and value.isascii() and value.isdigit() else 5
