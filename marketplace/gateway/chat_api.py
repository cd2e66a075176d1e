"""The OpenAI-compatible paths: /v1/chat/completions, /v1/embeddings, /v1/models."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from marketplace.core.errors import HalfpennyError
from marketplace.gateway import books, failures, idempotency, requests
from marketplace.gateway.caching.telling import as_told
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Message, Request, Send, raw_json, respond, respond_json
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.pipeline import Gateway, OpenStream
from marketplace.gateway.providers.base import ProviderRefused
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import AUTO

DONE = b"data: [DONE]\n\n"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


def _build(
    app_request: Callable[..., ModelRequest], request: Request, body: bytes
) -> Callable[[Caller], ModelRequest]:
    fields = requests.decode(body)
    feature = request.header(b"x-halfpenny-feature")[:40]
    return lambda caller: app_request(fields, caller=caller, feature=feature)


def _chat(fields: dict[str, Any], *, caller: Caller, feature: str) -> ModelRequest:
    return requests.chat(fields, app=caller.app, feature=feature)


def _embeddings(fields: dict[str, Any], *, caller: Caller, feature: str) -> ModelRequest:
    return requests.embeddings(fields, feature=feature)


async def chat_completions(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/chat/completions"""
    find = partial(gateway.find, request.key, kind="sub")
    await find()
    body = await request.body(limit=requests.MAX_BODY_BYTES)
    ask = as_told(request, _build(_chat, request, body))
    if requests.decode(body).get("stream") is True:
        await _stream_once(gateway, find, ask, request, send, body=body)
    else:
        await _whole(gateway, find, ask, request, send, body=body)


async def embeddings(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/embeddings"""
    find = partial(gateway.find, request.key, kind="sub")
    await find()
    body = await request.body(limit=requests.MAX_BODY_BYTES)
    ask = as_told(request, _build(_embeddings, request, body))
    await _whole(gateway, find, ask, request, send, body=body)


async def models(gateway: Gateway, request: Request, send: Send) -> None:
    """GET /v1/models: what this subscription may name, and ``auto``."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    names = [AUTO, *caller.app.allowed_models]
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "halfpenny"} for name in names]
    await respond_json(send, 200, {"object": "list", "data": data})


async def _whole(gateway: Gateway, find: Any, ask: Any, request: Request, send: Send, *, body: bytes) -> None:
    key = request.header(b"idempotency-key")
    if key:
        caller = await find()
        call = partial(_answer, gateway, find, ask)
        kept = await idempotency.once(gateway.read, caller, key=key, path=request.path, body=body, call=call)
        await respond(send, kept.status, kept.body, headers=kept.headers)
        return
    kept = await _answer(gateway, find, ask)
    await respond(send, kept.status, kept.body, headers=kept.headers)


async def _answer(gateway: Gateway, find: Any, ask: Any) -> Kept:
    try:
        served, completion = await gateway.complete(find, ask)
    except ProviderRefused as error:
        # The provider's own words about the request tell the caller more than ours could.
        return Kept(error.status, error.body or failures_bytes(error), dict(error.headers))
    headers = served.headers | rate_limit_headers(served.admission.standings, at=books.now())
    return Kept(completion.status, completion.body, headers)


def failures_bytes(error: HalfpennyError) -> bytes:
    """Return an error as the bytes of OpenAI's shape."""
    return raw_json(failures.openai_body(error))


async def _stream_once(
    gateway: Gateway, find: Any, ask: Any, request: Request, send: Send, *, body: bytes
) -> None:
    key = request.header(b"idempotency-key")
    if not key:
        await _stream(gateway, find, ask, request, send)
        return
    recorder = _Recorder(send)

    async def call() -> Kept:
        await _stream(gateway, find, ask, request, recorder)
        return recorder.whole()

    try:
        caller = await find()
        kept = await idempotency.once(gateway.read, caller, key=key, path=request.path, body=body, call=call)
    except _CutShort:
        await recorder.send_rest()
        return
    if kept.is_replay:
        await respond(send, kept.status, kept.body, headers=kept.headers, content_type=EVENT_STREAM)
    else:
        await recorder.send_rest()


class _CutShort(Exception):
    """The stream did not come to its end, so its key is free for another try."""


class _Recorder:
    """Passes a stream on and remembers it. The last message waits for ``send_rest``: after it a caller may retry."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._last: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            raw = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            self._headers = {name: value for name, value in raw.items() if name != "content-type"}
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                self._last = message
                return
        await self._send(message)

    def whole(self) -> Kept:
        """Return all that was said. Raises _CutShort when it has no end."""
        if self._last is None or not self._last["body"]:
            raise _CutShort
        return Kept(200, b"".join(self._parts), self._headers)

    async def send_rest(self) -> None:
        """Send what was held back."""
        if self._last is not None:
            await self._send(self._last)


async def _stream(gateway: Gateway, find: Any, ask: Any, request: Request, send: Send) -> None:
    has_started = is_done = False
    gone = asyncio.ensure_future(request.disconnected())
    try:
        async with gateway.stream(find, ask) as opened:
            await _start(send, opened)
            has_started = True
            is_done = await _pass_on(opened, send, gone)
    except HalfpennyError as error:
        if not has_started:
            raise
        await send(
            {
                "type": "http.response.body",
                "body": b"data: " + failures_bytes(error) + b"\n\n",
                "more_body": True,
            }
        )
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
    # Only now is the call metered and on disk: whoever reads the last line may ask for its usage.
    await send({"type": "http.response.body", "body": DONE if is_done else b""})


async def _start(send: Send, opened: OpenStream) -> None:
    limits = rate_limit_headers(opened.admission.standings, at=books.now())
    headers = [
        (name.encode(), value.encode("latin-1", "replace"))
        for name, value in (opened.headers | limits).items()
    ]
    headers += [(b"content-type", EVENT_STREAM), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _pass_on(opened: OpenStream, send: Send, gone: "asyncio.Future[None]") -> bool:
    """Pass chunks on until the end or until the caller has gone; then the provider's stream is closed too.

    The closing line is kept back; returns whether it came.
    """
    chunks: AsyncIterator[bytes] = opened.chunks()
    is_done = False
    async for chunk in chunks:
        if gone.done():
            return False
        is_done = chunk.endswith(DONE)
        passed = chunk.removesuffix(DONE)
        if passed:
            await send({"type": "http.response.body", "body": passed, "more_body": True})
    return is_done
