"""Answers of the model paths, whole or streamed, given once for an Idempotency-Key and again word for word."""

from collections.abc import Awaitable, Callable
from typing import Any

from marketplace.gateway import books, idempotency
from marketplace.gateway.http import Message, Request, Send, respond
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.open_streams import OpenStream
from marketplace.gateway.pipeline import Gateway

EVENT_STREAM = b"text/event-stream; charset=utf-8"


async def answer_once(
    gateway: Gateway,
    find: Any,
    request: Request,
    send: Send,
    *,
    body: bytes,
    call: Callable[[], Awaitable[Kept]],
) -> None:
    """Send a whole answer; with a key that was used before, the first one."""
    key = request.header(b"idempotency-key")
    if not key:
        kept = await call()
    else:
        kept = await idempotency.once(
            gateway.read, await find(), key=key, path=request.path, body=body, call=call
        )
    await respond(send, kept.status, kept.body, headers=kept.headers)


async def stream_once(
    gateway: Gateway,
    find: Any,
    request: Request,
    send: Send,
    *,
    body: bytes,
    stream: Callable[[Send], Awaitable[None]],
) -> None:
    """Send a stream; with a key that was used before, all of the first one."""
    key = request.header(b"idempotency-key")
    if not key:
        await stream(send)
        return
    recorder = _Recorder(send)

    async def call() -> Kept:
        await stream(recorder)
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


async def start_stream(send: Send, opened: OpenStream) -> None:
    """Send the head of a streamed answer."""
    limits = rate_limit_headers(opened.admission.standings, at=books.now())
    headers = [
        (name.encode(), value.encode("latin-1", "replace"))
        for name, value in (opened.headers | limits).items()
    ]
    headers += [(b"content-type", EVENT_STREAM), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


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
