"""POST /apps/{slug}/run."""

from functools import partial
from typing import Any
from urllib.parse import parse_qs

from marketplace.core.errors import NotFound
from marketplace.gateway import app_runs, books, idempotency, many_runs, requests
from marketplace.gateway.async_runs import http_api as async_api
from marketplace.gateway.caching.telling import wants_no_store
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, raw_json, respond
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.routing.calls import HEADER, intent_of_header

MAX_BODY_BYTES = 1024 * 1024


async def run_app(gateway: Gateway, request: Request, send: Send, *, slug: str) -> None:
    """POST /apps/{slug}/run"""
    find = partial(gateway.find, request.key, kind="sub")
    caller = await find()
    assert isinstance(caller, Caller)
    if caller.app.slug != slug:
        raise NotFound("app", slug)
    body = await request.body(limit=MAX_BODY_BYTES)
    fields = requests.decode(body)
    if set(fields) not in ({"input"}, {"inputs"}):
        raise requests.InvalidRequest("input", 'The body is {"input": {…}} or {"inputs": [{…}, …]}.')
    is_later = parse_qs(request.query.decode("latin-1")).get("async") == ["1"]
    if is_later and "input" in fields:
        await async_api.run_later(gateway, caller, fields["input"], request, send)
        return
    feature = request.header(b"x-halfpenny-feature")[:40]
    no_store, intent = wants_no_store(request), intent_of_header(request.header(HEADER))
    if "inputs" in fields:
        inputs = many_runs.check(fields["inputs"], app=caller.app)
        call = partial(many_runs.run, gateway, find, inputs, feature, intent=intent, no_store=no_store)
    else:
        call = partial(_answer, gateway, find, fields["input"], feature, intent=intent, no_store=no_store)
    key = request.header(b"idempotency-key")
    if key:
        kept = await idempotency.once(gateway.read, caller, key=key, path=request.path, body=body, call=call)
    else:
        kept = await call()
    await respond(send, kept.status, kept.body, headers=kept.headers)


async def _answer(
    gateway: Gateway, find: Any, data: Any, feature: str, *, intent: str, no_store: bool
) -> Kept:
    run = await app_runs.run(gateway, find, data=data, feature=feature, intent=intent, no_store=no_store)
    headers = run.served.headers | rate_limit_headers(run.served.admission.standings, at=books.now())
    return Kept(200, raw_json(app_runs.answer_of(run)), headers)
