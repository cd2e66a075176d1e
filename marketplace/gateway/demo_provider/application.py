"""The ASGI application of the demo provider."""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import count
from time import time
from typing import Any

import msgspec

from marketplace.gateway.demo_provider import anthropic, apps, chat, embeddings, gemini, models
from marketplace.gateway.demo_provider.exchanges import (
    CallerGone,
    Exchange,
    Receive,
    Refusal,
    Scope,
    Send,
    pause,
    read_body,
    reset,
    send_answer,
    send_events,
    send_json,
    wait_until_gone,
)
from marketplace.gateway.demo_provider.faults import NO_FAULT, Fault, find_fault

HOOK_PATH = "/hooks/notices"
HUGE_BYTES = 2 * 1024 * 1024 + 1
KEY_HEADERS = (b"x-api-key", b"x-goog-api-key")
FAILURES = {"429": "rate_limit_exceeded", "500": "server_error", "503": "overloaded"}


class Rejected(Exception):
    """The input of an app was wrong; the body is the app's own."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("rejected")
        self.body = body


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
            ("POST", anthropic.PATH): self._messages,
            ("GET", gemini.PREFIX): self._gemini_models,
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
            await send_json(send, _in_words_of(scope["path"], refusal), status=refusal.status)
        except Rejected as rejected:
            await send_json(send, rejected.body, status=422)
        except CallerGone:
            self._disconnects += 1

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        handler = self._routes.get((scope["method"], path)) or self._gemini_handler(scope["method"], path)
        if handler is None:
            raise Refusal(404, f"There is no {scope['method']} {path}.", kind="invalid_request_error")
        headers = dict(scope["headers"])
        if path.startswith(("/v1/", "/v1beta/")):
            self._authenticate(headers)
        body = await read_body(receive) if scope["method"] == "POST" else b""
        self._counts[path] += 1
        fault = self._fault(headers, body=body)
        exchange = Exchange(path, headers, body, fault, receive, send)
        if fault is not NO_FAULT and await self._fail_early(exchange):
            return
        await handler(exchange)

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> None:
        if self._api_key is None:
            return
        token = _key_of(headers)
        if not token or (self._api_key and token != self._api_key):
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
            await wait_until_gone(exchange.receive)
        if kind == "slow":
            await pause(exchange.receive, (number or 0) / 1000)
        if kind == "reset":
            reset(exchange.send)
            raise CallerGone
        if kind not in FAILURES:
            return False
        wait = (b"retry-after", str(1 if number is None else number).encode())
        refusal = Refusal(int(kind), "This failure was asked for.", kind=FAILURES[kind], code=FAILURES[kind])
        body = _in_words_of(exchange.path, refusal)
        await send_json(exchange.send, body, status=int(kind), headers=(wait,) if kind == "429" else ())
        return True

    async def _chat(self, exchange: Exchange) -> None:
        request = _decoded(chat.read_request, exchange.body)
        answer = await self._compose(exchange, request, body=exchange.body)
        parts = {
            "request": request,
            "number": next(self._numbers),
            "created": int(time()),
            "usage": _usage(answer, fault=exchange.fault),
        }
        if request.stream:
            await self._stream(exchange, request.model, chat.events(answer, **parts))
        else:
            await self._whole(exchange, request.model, answer, chat.whole(answer, **parts))

    async def _messages(self, exchange: Exchange) -> None:
        if b"anthropic-version" not in exchange.headers:
            raise Refusal(400, "anthropic-version: header is required", kind="invalid_request_error")
        request = _decoded(anthropic.decoder.decode, exchange.body)
        asked = _read(anthropic.chat_request, request)
        answer = await self._compose(exchange, asked)
        usage = None
        if exchange.fault.kind != "no-usage":
            read, written = self._cached(exchange, *anthropic.cached_prefix(request))
            usage = anthropic.usage_of(
                answer, output_factor=_factor(exchange.fault), read=read, written=written
            )
        if request.stream:
            await self._stream(
                exchange, request.model, anthropic.events(answer, model=request.model, usage=usage)
            )
        else:
            body = anthropic.whole(answer, model=request.model, usage=usage)
            await self._whole(exchange, request.model, answer, body)

    def _cached(self, exchange: Exchange, prefix: bytes, tokens: int) -> tuple[int, int]:
        """Give the tokens that are read from the cache and those that are written to it."""
        if exchange.fault.kind == "cached":
            return exchange.fault.number or 0, 0
        if not prefix:
            return 0, 0
        return (tokens, 0) if self._was_seen(b"prefix:" + prefix) else (0, tokens)

    def _gemini_handler(self, method: str, path: str) -> Callable[[Exchange], Awaitable[None]] | None:
        if method != "POST" or gemini.verb_of(path) is None:
            return None
        return self._generate

    async def _generate(self, exchange: Exchange) -> None:
        model, verb = gemini.verb_of(exchange.path) or ("", "")
        if verb == "batchEmbedContents":
            asked = _read(
                gemini.embedding_request, _decoded(gemini.embed_decoder.decode, exchange.body), model=model
            )
            body, _ = embeddings.answer(asked)
            await send_answer(exchange, gemini.embedded(body))
            return
        request = _read(gemini.chat_request, _decoded(gemini.decoder.decode, exchange.body), model=model)
        answer = await self._compose(exchange, request)
        usage = None
        if exchange.fault.kind != "no-usage":
            cached = (exchange.fault.number or 0) if exchange.fault.kind == "cached" else 0
            usage = gemini.usage_of(answer, output_factor=_factor(exchange.fault), cached=cached)
        if verb == "streamGenerateContent":
            await self._stream(exchange, model, gemini.events(answer, model=model, usage=usage))
        else:
            await self._whole(exchange, model, answer, gemini.whole(answer, model=model, usage=usage))

    async def _compose(
        self, exchange: Exchange, request: chat.ChatRequest, *, body: bytes | None = None
    ) -> chat.Answer:
        model = _model(request.model, is_embedding=False)
        try:
            answer = chat.compose(request, body=body or msgspec.json.encode(request))
        except (AttributeError, TypeError, ValueError) as error:
            # messages and schemas are free-form: what cannot be read is the caller's mistake
            raise Refusal(400, f"Cannot read the request: {error}", kind="invalid_request_error") from error
        await self._think(exchange, model=model, input_tokens=answer.prompt_tokens)
        return answer

    async def _stream(self, exchange: Exchange, model: str, events: Iterator[bytes]) -> None:
        pace_s = models.MODELS[model].pace_s(scale=self._latency_scale)
        await send_events(exchange, list(events), pace_s=pace_s)

    async def _whole(
        self, exchange: Exchange, model: str, answer: chat.Answer, body: Mapping[str, Any]
    ) -> None:
        pace_s = models.MODELS[model].pace_s(scale=self._latency_scale)
        await pause(exchange.receive, pace_s * answer.output_tokens)
        await send_answer(exchange, body)

    async def _embeddings(self, exchange: Exchange) -> None:
        request = _decoded(embeddings.decoder.decode, exchange.body)
        model = _model(request.model, is_embedding=True)
        try:
            body, input_tokens = embeddings.answer(request, has_usage=exchange.fault.kind != "no-usage")
        except (TypeError, ValueError) as error:
            raise Refusal(400, f"Cannot read the input: {error}", kind="invalid_request_error") from error
        await self._think(exchange, model=model, input_tokens=input_tokens)
        await send_answer(exchange, body)

    async def _hook(self, exchange: Exchange) -> None:
        """Take a message of a channel; a second one of the same id is told apart, as a receiver should."""
        message_id = exchange.headers.get(b"webhook-id", b"")
        body = {"received": message_id.decode("latin-1"), "was_known": self._was_seen(b"hook:" + message_id)}
        await send_json(exchange.send, body)

    async def _app(self, exchange: Exchange) -> None:
        if exchange.fault.kind == "redirect":
            target = (b"location", b"http://169.254.169.254/latest/meta-data/")
            await send_json(exchange.send, {}, status=302, headers=(target,))
            return
        try:
            output, usage = apps.run(exchange.path, body=exchange.body)
        except apps.BadAppInput as error:
            raise Rejected({"error": {"field": error.field, "message": error.message}}) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected({"error": {"field": "", "message": "The body is a JSON object."}}) from error
        if exchange.fault.kind == "huge":
            output["padding"] = "." * HUGE_BYTES
        await send_answer(exchange, output, headers=((b"x-halfpenny-usage", usage.encode()),))

    async def _models(self, exchange: Exchange) -> None:
        await send_json(exchange.send, models.listing())

    async def _gemini_models(self, exchange: Exchange) -> None:
        listed = [{"name": f"models/{name}", "displayName": name} for name in models.MODELS]
        await send_json(exchange.send, {"models": listed})

    async def _health(self, exchange: Exchange) -> None:
        await send_json(exchange.send, {"status": "ok", "provider": "halfpenny-demo"})

    async def _stats(self, exchange: Exchange) -> None:
        await send_json(exchange.send, {"requests": self._counts, "disconnects": self._disconnects})

    async def _think(self, exchange: Exchange, *, model: models.Model, input_tokens: int) -> None:
        if not self._latency_scale:
            return
        wait_s = model.latency_s(seed=exchange.body, input_tokens=input_tokens, scale=self._latency_scale)
        await pause(exchange.receive, wait_s)


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
    return chat.usage_of(answer, cached=cached, output_factor=_factor(fault))


def _factor(fault: Fault) -> int:
    return 10 if fault.kind == "wrong-usage" else 1


def _read(read: Callable[..., Any], request: Any, **options: Any) -> Any:
    """Read a request of another protocol; what they would refuse is refused."""
    try:
        return read(request, **options)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(400, str(error), kind="invalid_request_error") from error


def _key_of(headers: Mapping[bytes, bytes]) -> str:
    for name in KEY_HEADERS:
        if headers.get(name):
            return headers[name].decode("latin-1")
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _in_words_of(path: str, refusal: Refusal) -> Mapping[str, Any]:
    """Give the body of a refusal as the protocol of a path has it."""
    if path == anthropic.PATH:
        return anthropic.error(refusal.status, str(refusal))
    if path.startswith(gemini.PREFIX):
        return gemini.error(refusal.status, str(refusal))
    return refusal.body


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
