"""The ASGI application of the demo provider."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, islice
from math import ceil
from time import time
from typing import Any

import msgspec

from marketplace.gateway.demo_provider import apps, chat, embeddings, models
from marketplace.gateway.demo_provider.faults import NO_FAULT, Fault, find_fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

HOOK_PATH = "/hooks/notices"
MAX_BODY_BYTES = 16 * 1024 * 1024
HUGE_BYTES = 2 * 1024 * 1024 + 1
EVENTS_PER_WRITE = 8
PAUSE_S = 0.002
"""The shortest pause worth taking between two writes of a stream."""

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
PROVIDER = (b"x-provider", b"halfpenny-demo")


class CallerGone(Exception):
    """The caller closed the connection."""


class Refusal(Exception):
    """An answer that is not 2xx, in OpenAI's shape."""

    def __init__(
        self, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Rejected(Exception):
    """The input of an app was wrong; the body is the app's own."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("rejected")
        self.body = body


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with what is needed to answer it."""

    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    fault: Fault
    receive: Receive
    send: Send


class DemoProvider:
    """The application. ``latency_scale`` 0 answers at once.

    ``api_key`` None: everybody may call; empty: anybody with a bearer token; else that token only.
    """

    def __init__(self, *, latency_scale: float = 1.0, api_key: str | None = None) -> None:
        self._latency_scale = latency_scale
        self._api_key = api_key
        self._numbers = count(1)
        self._counts: Counter[str] = Counter()
        self._disconnects = 0
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._routes: Mapping[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/stats"): self._stats,
            ("POST", HOOK_PATH): self._hook,
            **{("POST", path): self._app for path in apps.APPS},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._dispatch(scope, receive, send)
        except Refusal as refusal:
            await _send_json(send, refusal.body, status=refusal.status)
        except Rejected as rejected:
            await _send_json(send, rejected.body, status=422)
        except CallerGone:
            self._disconnects += 1

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        handler = self._routes.get((scope["method"], path))
        if handler is None:
            raise Refusal(404, f"There is no {scope['method']} {path}.", kind="invalid_request_error")
        headers = dict(scope["headers"])
        if path.startswith("/v1/"):
            self._authenticate(headers)
        body = await _read_body(receive) if scope["method"] == "POST" else b""
        self._counts[path] += 1
        fault = self._fault(headers, body=body)
        exchange = Exchange(path, headers, body, fault, receive, send)
        if fault is not NO_FAULT and await self._fail_early(exchange):
            return
        await handler(exchange)

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> None:
        if self._api_key is None:
            return
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token or (self._api_key and token != self._api_key):
            raise Refusal(401, "Incorrect API key.", kind="invalid_request_error", code="invalid_api_key")

    def _fault(self, headers: Mapping[bytes, bytes], *, body: bytes) -> Fault:
        try:
            fault = find_fault(header=headers.get(b"x-demo-fault", b"").decode("latin-1"), body=body)
        except ValueError as error:
            raise Refusal(400, str(error), kind="invalid_request_error", code="unknown_fault") from None
        return NO_FAULT if fault.is_once and self._was_seen(body) else fault

    def _was_seen(self, body: bytes) -> bool:
        key = blake2b(body, digest_size=16).digest()
        was_seen = key in self._seen
        self._seen[key] = None
        if len(self._seen) > 10_000:
            self._seen.popitem(last=False)
        return was_seen

    async def _fail_early(self, exchange: Exchange) -> bool:
        """Do the failures that need no answer; say whether that was it."""
        kind, number = exchange.fault.kind, exchange.fault.number
        if kind == "hang":
            await _wait_until_gone(exchange.receive)
        if kind == "slow":
            await _pause(exchange.receive, (number or 0) / 1000)
        if kind == "429":
            wait = (b"retry-after", str(1 if number is None else number).encode())
            await _send_json(exchange.send, _failure("rate_limit_exceeded"), status=429, headers=(wait,))
        if kind == "500":
            await _send_json(exchange.send, _failure("server_error"), status=500)
        if kind == "503":
            await _send_json(exchange.send, _failure("overloaded"), status=503)
        return kind in ("429", "500", "503")

    async def _chat(self, exchange: Exchange) -> None:
        request = _decoded(chat.read_request, exchange.body)
        model = _model(request.model, is_embedding=False)
        try:
            answer = chat.compose(request, body=exchange.body)
        except (AttributeError, TypeError, ValueError) as error:
            # messages and schemas are free-form: what cannot be read is the caller's mistake
            raise Refusal(400, f"Cannot read the request: {error}", kind="invalid_request_error") from error
        await self._think(exchange, model=model, input_tokens=answer.prompt_tokens)
        parts = {
            "request": request,
            "number": next(self._numbers),
            "created": int(time()),
            "usage": _usage(answer, fault=exchange.fault),
        }
        pace_s = model.pace_s(scale=self._latency_scale)
        if request.stream:
            await _send_events(exchange, list(chat.events(answer, **parts)), pace_s=pace_s)
            return
        await _pause(exchange.receive, pace_s * answer.output_tokens)
        await _send_answer(exchange, chat.whole(answer, **parts))

    async def _embeddings(self, exchange: Exchange) -> None:
        request = _decoded(embeddings.decoder.decode, exchange.body)
        model = _model(request.model, is_embedding=True)
        try:
            body, input_tokens = embeddings.answer(request, has_usage=exchange.fault.kind != "no-usage")
        except (TypeError, ValueError) as error:
            raise Refusal(400, f"Cannot read the input: {error}", kind="invalid_request_error") from error
        await self._think(exchange, model=model, input_tokens=input_tokens)
        await _send_answer(exchange, body)

    async def _hook(self, exchange: Exchange) -> None:
        """Take a message of a channel; a second one of the same id is told apart, as a receiver should."""
        message_id = exchange.headers.get(b"webhook-id", b"")
        body = {"received": message_id.decode("latin-1"), "was_known": self._was_seen(b"hook:" + message_id)}
        await _send_json(exchange.send, body)

    async def _app(self, exchange: Exchange) -> None:
        if exchange.fault.kind == "redirect":
            target = (b"location", b"http://169.254.169.254/latest/meta-data/")
            await _send_json(exchange.send, {}, status=302, headers=(target,))
            return
        try:
            output, usage = apps.run(exchange.path, body=exchange.body)
        except apps.BadAppInput as error:
            raise Rejected({"error": {"field": error.field, "message": error.message}}) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected({"error": {"field": "", "message": "The body is a JSON object."}}) from error
        if exchange.fault.kind == "huge":
            output["padding"] = "." * HUGE_BYTES
        await _send_answer(exchange, output, headers=((b"x-halfpenny-usage", usage.encode()),))

    async def _models(self, exchange: Exchange) -> None:
        await _send_json(exchange.send, models.listing())

    async def _health(self, exchange: Exchange) -> None:
        await _send_json(exchange.send, {"status": "ok", "provider": "halfpenny-demo"})

    async def _stats(self, exchange: Exchange) -> None:
        await _send_json(exchange.send, {"requests": self._counts, "disconnects": self._disconnects})

    async def _think(self, exchange: Exchange, *, model: models.Model, input_tokens: int) -> None:
        if not self._latency_scale:
            return
        wait_s = model.latency_s(seed=exchange.body, input_tokens=input_tokens, scale=self._latency_scale)
        await _pause(exchange.receive, wait_s)


def _model(name: str, *, is_embedding: bool) -> models.Model:
    model = models.MODELS.get(name)
    if model is None:
        raise Refusal(
            404,
            f"The model '{name}' does not exist.",
            kind="invalid_request_error",
            code="model_not_found",
            param="model",
        )
    if model.is_embedding != is_embedding:
        raise Refusal(
            400, f"The model '{name}' does not do this.", kind="invalid_request_error", param="model"
        )
    return model


def _decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        param = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else None
        raise Refusal(400, str(error), kind="invalid_request_error", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "The body is not JSON.", kind="invalid_request_error") from error


def _usage(answer: chat.Answer, *, fault: Fault) -> Mapping[str, Any] | None:
    if fault.kind == "no-usage":
        return None
    cached = (fault.number or 0) if fault.kind == "cached" else 0
    return chat.usage_of(answer, cached=cached, output_factor=10 if fault.kind == "wrong-usage" else 1)


def _failure(code: str) -> dict[str, Any]:
    message = "This failure was asked for."
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    if not message.get("more_body"):
        return message.get("body", b"")
    parts = bytearray(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        parts += message.get("body", b"")
        if len(parts) > MAX_BODY_BYTES:
            raise Refusal(413, "The body is too large.", kind="invalid_request_error")
    return bytes(parts)


async def _pause(receive: Receive, seconds: float) -> None:
    """Wait, but stop working when the caller leaves: after the body, only that can arrive."""
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        return
    raise CallerGone


async def _wait_until_gone(receive: Receive) -> None:
    await receive()
    raise CallerGone


async def _send_json(
    send: Send, body: Mapping[str, Any], *, status: int = 200, headers: Headers = ()
) -> None:
    data = msgspec.json.encode(body)
    await _start(send, status=status, headers=(JSON, (b"content-length", b"%d" % len(data)), *headers))
    await send({"type": "http.response.body", "body": data})


async def _send_answer(exchange: Exchange, body: Mapping[str, Any], *, headers: Headers = ()) -> None:
    """Send a whole answer, or what the fault leaves of it."""
    data = msgspec.json.encode(body)
    kind = exchange.fault.kind
    if kind == "bad-json":
        data = data[: len(data) // 2]
    length = (b"content-length", b"%d" % len(data))
    await _start(exchange.send, status=200, headers=(JSON, length, *headers))
    if kind == "half-stream":
        # less than was announced: the server closes the connection when this returns
        await exchange.send({"type": "http.response.body", "body": data[: len(data) // 2], "more_body": True})
        return
    await exchange.send({"type": "http.response.body", "body": data})


async def _send_events(exchange: Exchange, events: list[bytes], *, pace_s: float) -> None:
    """Send a stream, several events a write, pausing so that each takes its time."""
    per_write = max(1, ceil(PAUSE_S / pace_s)) if pace_s else EVENTS_PER_WRITE
    events, is_cut = _with_fault(events, fault=exchange.fault)
    await _start(exchange.send, status=200, headers=(EVENT_STREAM, (b"cache-control", b"no-cache")))
    for block in _blocks(events, size=per_write):
        await exchange.send({"type": "http.response.body", "body": b"".join(block), "more_body": True})
        await _pause(exchange.receive, pace_s * len(block))
    if not is_cut:
        await exchange.send({"type": "http.response.body", "body": b""})


def _with_fault(events: list[bytes], *, fault: Fault) -> tuple[list[bytes], bool]:
    """Spoil a stream; say also whether it ends without an end."""
    if fault.kind == "half-stream":
        kept = len(events) // 2 if fault.number is None else fault.number
        # half of the next event too: a cut does not wait for the end of one
        rest = [event[: len(event) // 2] for event in events[kept : kept + 1]]
        return events[:kept] + rest, True
    if fault.kind == "bad-json":
        middle = len(events) // 2
        return [*events[:middle], b'data: {"id": "chatcmpl-\n\n', *events[middle:]], False
    return events, False


def _blocks(events: Iterable[bytes], *, size: int) -> Iterable[list[bytes]]:
    waiting = iter(events)
    while block := list(islice(waiting, size)):
        yield block


async def _start(send: Send, *, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [PROVIDER, *headers]})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
