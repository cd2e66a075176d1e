"""Wires: how a protocol says what OpenAI's says. Requests go out in its words, answers come back in OpenAI's.

OpenAI's own wire translates nothing. Others are pure functions over decoded bodies, in a module each.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from yarl import URL

from marketplace.gateway.providers import bodies
from marketplace.gateway.providers.base import Body, Path, ProviderEndpoint, ProviderRefused, Usage

OPENAI_HOST = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes out. ``has_asked_usage`` is whether the caller wants the usage of a stream."""

    data: bytes
    url: URL
    has_asked_usage: bool = False


class Translator(Protocol):
    """Takes the bytes of a stream as they arrive and gives OpenAI's events.

    ``input_usage``: what the provider has said of the input, should the stream end before it says the rest.
    """

    input_usage: Usage | None

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class Wire(Protocol):
    """A protocol at one endpoint. ``request`` and ``stream_request`` raise ProviderRefused for what it cannot say,
    ``answer`` msgspec.DecodeError for what is not of this protocol."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def models_url(self) -> URL: ...

    def request(self, body: Body, *, path: Path) -> Sent: ...
    def stream_request(self, body: Body) -> Sent: ...
    def answer(self, answer: bytes, *, path: Path, request: Body) -> bytes: ...
    def translator(self, body: Body) -> Translator | None: ...
    def model_names(self, answer: bytes) -> list[str]: ...


class OpenAIWire:
    """OpenAI's protocol, as it is."""

    def __init__(self, endpoint: ProviderEndpoint) -> None:
        base = endpoint.base_url.rstrip("/")
        self.headers: Mapping[str, str] = (
            {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        )
        self.models_url = URL(f"{base}/models")
        # OpenAI's own models that reason refuse the older name of the same bound; servers of one's own know only that.
        self._has_new_names = self.models_url.host == OPENAI_HOST
        self._urls: Mapping[Path, URL] = {
            "chat/completions": URL(f"{base}/chat/completions"),
            "embeddings": URL(f"{base}/embeddings"),
        }

    def request(self, body: Body, *, path: Path) -> Sent:
        return Sent(bodies.encode(self._renamed(body)), self._urls[path])

    def stream_request(self, body: Body) -> Sent:
        data, has_asked = bodies.ask_for_usage(bodies.encode(self._renamed(body)))
        return Sent(data, self._urls["chat/completions"], has_asked)

    def _renamed(self, body: Body) -> Body:
        if not self._has_new_names:
            return body
        fields = dict(bodies.decode(body))
        if "max_tokens" in fields:
            fields["max_completion_tokens"] = fields.pop("max_tokens")
        return fields

    def answer(self, answer: bytes, *, path: Path, request: Body) -> bytes:
        return answer

    def translator(self, body: Body) -> None:
        return None

    def model_names(self, answer: bytes) -> list[str]:
        return [model.id for model in _listing.decode(answer).data]


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed]


_listing = msgspec.json.Decoder(_Listing)


@contextmanager
def refused_in_openai_words() -> Iterator[None]:
    """Give the words of a provider that refuses a request OpenAI's shape: its caller reads them."""
    try:
        yield
    except ProviderRefused as error:
        error.body = openai_error(error.body, otherwise=error.message)
        raise


def openai_error(body: bytes, *, otherwise: str) -> bytes:
    """Return the error of a provider in OpenAI's shape; one that has it already stays as it is."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        fields = {}
    error = fields.get("error") if isinstance(fields, dict) else None
    if (
        isinstance(error, dict)
        and "type" in error
        and "code" in error
        and isinstance(error.get("message"), str)
    ):
        return body
    return msgspec.json.encode({"error": _error_fields(fields, error, otherwise=otherwise)})


def _error_fields(fields: Any, error: Any, *, otherwise: str) -> dict[str, Any]:
    """Find what was said in the shapes of Anthropic, Gemini, vLLM and FastAPI."""
    known = error if isinstance(error, dict) else fields if isinstance(fields, dict) else {}
    said = known.get("message") or known.get("detail") or error
    kind, code = known.get("type") or known.get("status"), known.get("code")
    return {
        "message": said
        if isinstance(said, str)
        else msgspec.json.encode(said).decode()
        if said
        else otherwise,
        "type": kind.lower() if isinstance(kind, str) else "invalid_request_error",
        "code": code if isinstance(code, str) else None,
        "param": known.get("param") if isinstance(known.get("param"), str) else None,
    }
