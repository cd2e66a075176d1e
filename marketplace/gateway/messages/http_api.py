"""The paths of the Messages API: /v1/messages, /v1/messages/count_tokens, and /v1/models as its clients know them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from marketplace.core.errors import HalfpennyError
from marketplace.gateway import books, chat_api, requests
from marketplace.gateway.caching.telling import as_told
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, respond_json
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.leaving import CallerLeft, drains, until_gone
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.messages import asking, errors
from marketplace.gateway.messages.answering import STOP, MessageEvents, message
from marketplace.gateway.once import answer_once, start_stream, stream_once
from marketplace.gateway.open_streams import OpenStream
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import ProviderRefused
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import AUTO, ModelNotFound
from marketplace.gateway.routing.calls import HEADER, intent_of_header

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
MODELS_PATH = "/v1/models"
VERSION_HEADER = b"anthropic-version"
LONG_AGO = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and how its answer is to be said."""

    ask: Callable[[Caller], ModelRequest]
    is_stream: bool
    shows_thinking: bool


def takes(request: Request) -> bool:
    """Tell whether a caller speaks this protocol, so that errors are said in it."""
    if request.path.startswith(MODELS_PATH):
        return bool(request.header(VERSION_HEADER))
    return request.path in (PATH, COUNT_PATH)


async def messages(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/messages"""
    find = partial(gateway.find, request.key, kind="sub")
    await find()
    body = await request.body(limit=requests.MAX_BODY_BYTES)
    asked = _asked(request, body)
    if asked.is_stream:
        stream = partial(_stream, gateway, find, asked, request)
        await stream_once(gateway, find, request, send, body=body, stream=stream)
    else:
        call = partial(_answer, gateway, find, asked)
        await answer_once(gateway, find, request, send, body=body, call=call)


async def count_tokens(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /v1/messages/count_tokens: what the input of a message is counted as before it is sent. Costs nothing."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    body = await request.body(limit=requests.MAX_BODY_BYTES)
    asked = _asked(request, body, needs_length=False)
    await respond_json(send, 200, {"input_tokens": asked.ask(caller).need.input_tokens})


async def models(gateway: Gateway, request: Request, send: Send) -> None:
    """GET /v1/models, in the words of whoever asks."""
    if not takes(request):
        await chat_api.models(gateway, request, send)
        return
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    names = [AUTO, *caller.app.allowed_models]
    listed = {"data": [_listed(name) for name in names], "first_id": names[0], "last_id": names[-1]}
    await respond_json(send, 200, listed | {"has_more": False})


async def model(gateway: Gateway, request: Request, send: Send, *, name: str) -> None:
    """GET /v1/models/{model}, in the words of whoever asks. Raises ModelNotFound."""
    if not takes(request):
        await chat_api.model(gateway, request, send, name=name)
        return
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    if name not in (AUTO, *caller.app.allowed_models):
        raise ModelNotFound(name)
    await respond_json(send, 200, _listed(name))


def _listed(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": LONG_AGO}


def _asked(request: Request, body: bytes, *, needs_length: bool = True) -> Asked:
    fields = requests.decode(body)
    said = asking.chat_fields(fields, needs_length=needs_length)
    feature = request.header(b"x-halfpenny-feature")[:40]
    intent = intent_of_header(request.header(HEADER))

    def ask(caller: Caller) -> ModelRequest:
        return replace(requests.chat(said, app=caller.app, feature=feature), intent=intent)

    return Asked(
        as_told(request, ask),
        is_stream=fields.get("stream") is True,
        shows_thinking=asking.wants_thinking(fields),
    )


async def _answer(gateway: Gateway, find: Any, asked: Asked) -> Kept:
    try:
        served, completion = await gateway.complete(find, asked.ask)
    except ProviderRefused as error:
        return Kept(error.status, errors.body_bytes(error), dict(error.headers))
    said = message(
        completion.body,
        message_id=_message_id(served.admission.id),
        model=served.model,
        usage=completion.usage,
        shows_thinking=asked.shows_thinking,
    )
    headers = served.headers | rate_limit_headers(served.admission.standings, at=books.now())
    return Kept(completion.status, said, headers)


async def _stream(gateway: Gateway, find: Any, asked: Asked, request: Request, send: Send) -> None:
    has_started = is_done = False
    try:
        async with gateway.stream(find, asked.ask) as opened:
            await start_stream(send, opened)
            has_started = True
            with suppress(CallerLeft):
                async with until_gone(request, drains=drains(opened.when_caller_leaves)):
                    is_done = await _pass_on(opened, asked, send)
    except HalfpennyError as error:
        if not has_started:
            raise
        await _send(send, b"event: error\ndata: " + errors.body_bytes(error) + b"\n\n")
    # Only now is the call metered and on disk: whoever reads the last event may ask for its usage.
    await send({"type": "http.response.body", "body": STOP if is_done else b""})


async def _pass_on(opened: OpenStream, asked: Asked, send: Send) -> bool:
    """Pass events on until the message is complete; returns whether it is."""
    events = MessageEvents(
        _message_id(opened.admission.id),
        model=opened.offer.model,
        input_tokens=opened.admission.usage.quantities.input_tokens,
        shows_thinking=asked.shows_thinking,
    )
    await _send(send, events.start())
    async for chunk in opened.chunks():
        if said := events.feed(chunk):
            await _send(send, said)
    if not opened.source.is_complete:
        return False
    await _send(send, events.end(opened.source.usage()))
    return True


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _message_id(call_id: UUID) -> str:
    return f"msg_{call_id.hex}"
