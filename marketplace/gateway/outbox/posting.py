"""Send messages to other people's servers, many at once, each within strict bounds. Knows no database.

Where we may connect to is decided by ``marketplace.gateway.egress``, when it is written down and again at the moment of connecting.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from marketplace.gateway.egress import (
    EndpointForbidden,
    EndpointInvalid,
    check_endpoint,
    host_and_port,
    split_endpoint,
)
from marketplace.gateway.http_apps import ForbiddenAddress, PublicResolver
from marketplace.gateway.outbox.retrying import read_retry_after

TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 5
AT_ONCE_TO_A_HOST = 4
MOST_READ_BYTES = 2_048
EXCERPT_LENGTH = 500
GONE = 410

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Outgoing:
    """One message: where to, what, with which headers. The address may be a secret, so it is in no representation."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. ``trouble`` is empty when it was delivered."""

    duration_ms: int = 0
    http_status: int | None = None
    trouble: str = ""
    excerpt: str = ""
    retry_after_s: int | None = None

    @property
    def is_delivered(self) -> bool:
        return not self.trouble

    @property
    def is_gone(self) -> bool:
        """Tell whether the receiver says that nothing may be sent there any more."""
        return self.http_status == GONE


def post(outgoing: Sequence[Outgoing], *, allowed: Collection[str], at: datetime) -> list[Outcome]:
    """Send each message once and return what became of each, in their order. Raises nothing for a receiver's failure."""
    if not outgoing:
        return []
    return asyncio.run(_post_all(outgoing, frozenset(entry.lower() for entry in allowed), at))


async def _post_all(outgoing: Sequence[Outgoing], allowed: frozenset[str], at: datetime) -> list[Outcome]:
    connector = aiohttp.TCPConnector(resolver=PublicResolver(allowed=allowed), use_dns_cache=False)
    # Before its time begins, so that a slow receiver does not use up that of what waits behind it.
    turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_TO_A_HOST))
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S),
    ) as session:
        return await asyncio.gather(
            *(_in_turn(turns[urlsplit(one.url).netloc], session, one, allowed, at) for one in outgoing)
        )


async def _in_turn(
    turn: asyncio.Semaphore,
    session: aiohttp.ClientSession,
    one: Outgoing,
    allowed: frozenset[str],
    at: datetime,
) -> Outcome:
    async with turn:
        return await _post_one(session, one, allowed, at)


async def _post_one(
    session: aiohttp.ClientSession, one: Outgoing, allowed: frozenset[str], at: datetime
) -> Outcome:
    started = perf_counter()
    try:
        async with session.post(
            _target(one.url, allowed), data=one.body, headers=one.headers, allow_redirects=False
        ) as response:
            excerpt = _excerpt(await response.content.read(MOST_READ_BYTES), url=one.url)
            status, retry_after = response.status, response.headers.get("Retry-After")
    except (aiohttp.ClientError, EndpointForbidden, EndpointInvalid, OSError, ValueError) as error:
        return Outcome(_since(started), trouble=_trouble(error))
    return Outcome(
        _since(started),
        status,
        "" if 200 <= status < 300 else _refusal(status),
        excerpt,
        read_retry_after(retry_after, at=at),
    )


def _target(url: str, allowed: frozenset[str]) -> URL:
    check_endpoint(url, allowed)
    target = URL(url)
    # Both readers must see the same host, or the check was about another place than the message.
    if (target.host or "").rstrip(".").lower() != host_and_port(split_endpoint(url))[0]:
        raise EndpointInvalid(url, "is not a URL")
    return target


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}, a redirect, which is not followed"
    return f"answered {status}"


def _trouble(error: BaseException) -> str:
    """Say in our own words what went wrong: those of the libraries may hold the address."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, ForbiddenAddress):
            return f"is not called: it {behind.refusal.reason}"
        if isinstance(behind, EndpointForbidden | EndpointInvalid):
            return f"is not called: it {behind.reason}"
        behind = behind.__cause__ or behind.__context__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "has a certificate that cannot be trusted"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return "could not be reached"
    if isinstance(error, TimeoutError):
        return f"did not answer within {TIMEOUT_S} seconds"
    return "broke the connection off"


def _excerpt(raw: bytes, *, url: str) -> str:
    """Cut an answer to what can be shown; an echo of the address, which may be a secret, is left out."""
    parts = split_endpoint(url)
    text = _UNPRINTABLE.sub(" ", raw.decode("utf-8", "replace"))
    for secret in (url, f"{parts.path}?{parts.query}", parts.path):
        if len(secret) > 4:
            text = text.replace(secret, "…")
    return text.strip()[:EXCERPT_LENGTH]


def _since(started: float) -> int:
    return round((perf_counter() - started) * 1000)
