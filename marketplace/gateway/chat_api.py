"""The OpenAI-compatible paths: /v1/chat/completions, /v1/embeddings, /v1/models."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from marketplace.core.errors import HalfpennyError
from marketplace.gateway import books, failures, requests
from marketplace.gateway.caching.telling import as_told
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, raw_json, respond_json
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.leaving import CallerLeft, drains, until_gone
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.once import answer_once, start_stream, stream_once
from marketplace.gateway.open_streams import OpenStream
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import ProviderRefused
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import AUTO, ModelNotFound
from marketplace.gateway.routing.calls import HEADER, intent_of_header

DONE = b"data: [DONE]\n\n"


def _build(
    app_request: Callable[..., ModelRequest], request: Request, body: bytes
) -> Callable[[Caller], ModelRequest]:
    fields = requests.decode(body)
    feature = request.header(b"x-halfpenny-feature")[:40]
    intent = intent_of_header(request.header(HEADER))
    return lambda caller: replace(app_request(fields, caller=caller, feature=feature), intent=intent)


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
        stream = partial(_stream, gateway, find, ask, request)
        await stream_once(gateway, find, request, send, body=body, stream=stream)
    else:
        await answer_once(gateway, find, request, send, body=body, call=partial(_answer, gateway, find, ask))


async def embeddings(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/embeddings"""
    find = partial(gateway.find, request.key, kind="sub")
    await find()
    body = await request.body(limit=requests.MAX_BODY_BYTES)
    ask = as_told(request, _build(_embeddings, request, body))
    await answer_once(gateway, find, request, send, body=body, call=partial(_answer, gateway, find, ask))


async def models(gateway: Gateway, request: Request, send: Send) -> None:
    """GET /v1/models: what this subscription may name, and ``auto``."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    names = [AUTO, *caller.app.allowed_models]
    await respond_json(send, 200, {"object": "list", "data": [_listed(name) for name in names]})


async def model(gateway: Gateway, request: Request, send: Send, *, name: str) -> None:
    """GET /v1/models/{model}. Raises ModelNotFound, also for one that this subscription may not name."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    if name not in (AUTO, *caller.app.allowed_models):
        raise ModelNotFound(name)
    await respond_json(send, 200, _listed(name))


def _listed(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "halfpenny"}


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


async def _stream(gateway: Gateway, find: Any, ask: Any, request: Request, send: Send) -> None:
    has_started = is_done = False
    try:
        async with gateway.stream(find, ask) as opened:
            await start_stream(send, opened)
            has_started = True
            with suppress(CallerLeft):
                async with until_gone(request, drains=drains(opened.when_caller_leaves)):
                    is_done = await _pass_on(opened, send)
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
    # Only now is the call metered and on disk: whoever reads the last line may ask for its usage.
    await send({"type": "http.response.body", "body": DONE if is_done else b""})


async def _pass_on(opened: OpenStream, send: Send) -> bool:
    """Pass chunks on until the end. The closing line is kept back; returns whether it came."""
    is_done = False
    async for chunk in opened.chunks():
        is_done = chunk.endswith(DONE)
        passed = chunk.removesuffix(DONE)
        if passed:
            await send({"type": "http.response.body", "body": passed, "more_body": True})
    return is_done
