"""What the gateway asks of a model provider, whichever it is, and what can go wrong.

A provider takes OpenAI's request bodies and gives OpenAI's answers back as the bytes that came over the wire,
with the usage read out of them. Nothing here knows about prices, limits or Django.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from types import MappingProxyType
from typing import Any, Literal, Protocol

from marketplace.core.errors import Unavailable

Path = Literal["chat/completions", "embeddings"]
Body = bytes | Mapping[str, Any]

DEFAULT_RETRY_AFTER_S = 5

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. Cached and cache-write tokens are parts of the input, reasoning tokens of the
    output.

    ``is_estimated`` says that the provider reported nothing (usable) and the tokens were counted from the
    texts. ``provider_cost`` is what the provider itself says it charged, exact, in ``currency``.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False
    provider_cost: Decimal | None = None
    currency: str = ""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class ProviderEndpoint:
    """Where a provider is reached, and how long it is waited for: for the connection, the whole answer, the first
    piece of a stream, and between two pieces. ``base_url`` ends before ``/chat/completions``, ``/messages`` or
    ``/models``, usually with ``/v1``."""

    name: str
    base_url: str
    kind: Literal["openai", "anthropic", "gemini", "echo"] = "openai"
    api_key: str = field(default="", repr=False)
    timeout_s: float = 120.0
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 60.0
    idle_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, always 2xx: everything else is raised. ``body`` is what the provider sent."""

    status: int
    body: bytes
    usage: Usage
    finish_reason: str | None
    headers: Mapping[str, str]
    latency_ms: int


class Stream(Protocol):
    """An answer that is still arriving.

    Iterating gives the bytes to pass on, always whole server-sent events. Whatever happens (the end, a
    provider that stops in the middle, a client that goes away), ``usage`` afterwards says what the call came
    to so far.
    """

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def first_byte_ms(self) -> int | None: ...
    @property
    def finish_reason(self) -> str | None: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def text_so_far(self) -> str: ...
    @property
    def output_tokens_so_far(self) -> int: ...

    def usage(self) -> Usage: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Provider(Protocol):
    """A model provider. Both calls raise ProviderError and its kinds, nothing else of their own."""

    endpoint: ProviderEndpoint

    async def complete(
        self, body: Body, *, path: Path = "chat/completions", headers: Mapping[str, str] = NO_HEADERS
    ) -> Completion: ...

    def stream(
        self, body: Body, *, headers: Mapping[str, str] = NO_HEADERS
    ) -> AbstractAsyncContextManager[Stream]: ...


class ProviderError(Unavailable):
    """A call to a provider brought no (whole) answer.

    ``status``: what the gateway answers its caller. ``is_retryable``: the same call may succeed later or
    elsewhere. ``was_maybe_charged``: the provider may have worked, and may charge, for this attempt; such a
    call is never sent twice by itself. ``asked_pause_s``: how long the provider wants to be left alone, None
    when it did not say; ``retry_after_s`` is the same for the caller, always given. ``body``: the provider's
    own words, as received. ``headers``: what the answer to our caller carries besides.
    """

    code = "provider_error"
    status = 502
    is_retryable = True
    was_maybe_charged = True
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(
        self,
        provider: str,
        problem: str,
        *,
        status: int | None = None,
        asked_pause_s: float | None = None,
        was_maybe_charged: bool | None = None,
        provider_status: int | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(
            f"Provider {provider} {problem}.",
            retry_after_s=DEFAULT_RETRY_AFTER_S if asked_pause_s is None else ceil(asked_pause_s),
        )
        self.provider = provider
        self.asked_pause_s = asked_pause_s
        self.provider_status = provider_status
        self.body = body
        if status is not None:
            self.status = status
        if was_maybe_charged is not None:
            self.was_maybe_charged = was_maybe_charged


class ProviderTimeout(ProviderError):
    """No answer in time."""

    code = "provider_timeout"
    status = 504


class ProviderUnavailable(ProviderError):
    """Not reached, connection lost, or a server error."""

    code = "provider_unavailable"


class ProviderRateLimited(ProviderError):
    """The provider refuses for now; it did not work."""

    code = "provider_rate_limited"
    status = 429
    was_maybe_charged = False


class ProviderRefused(ProviderError):
    """The provider finds the request wrong; ``status`` and ``body`` are its own and may be passed on."""

    code = "provider_refused"
    is_retryable = False
    was_maybe_charged = False


class ProviderMisconfigured(ProviderError):
    """The provider does not accept our key: for an operator, not for the caller."""

    code = "provider_misconfigured"
    was_maybe_charged = False


class ProviderBadResponse(ProviderError):
    """An answer that cannot be read, or ended in the middle."""

    code = "provider_bad_response"
