"""POST /apps/{slug}/run and GET /jobs/{id}."""

from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from marketplace.core import jobs
from marketplace.core.errors import NotFound
from marketplace.core.ids import uuid7
from marketplace.core.models import Job
from marketplace.gateway import app_runs, books, idempotency, many_runs, requests
from marketplace.gateway.caching.telling import wants_no_store
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, raw_json, respond, respond_json
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.pipeline import Gateway

MAX_BODY_BYTES = 1024 * 1024
JOB_NAME = "gateway.run_app"


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
        await _run_later(gateway, caller, fields["input"], request, send)
        return
    feature = request.header(b"x-halfpenny-feature")[:40]
    no_store = wants_no_store(request)
    if "inputs" in fields:
        inputs = many_runs.check(fields["inputs"], app=caller.app)
        call = partial(many_runs.run, gateway, find, inputs, feature, no_store=no_store)
    else:
        call = partial(_answer, gateway, find, fields["input"], feature, no_store=no_store)
    key = request.header(b"idempotency-key")
    if key:
        kept = await idempotency.once(gateway.read, caller, key=key, path=request.path, body=body, call=call)
    else:
        kept = await call()
    await respond(send, kept.status, kept.body, headers=kept.headers)


async def _answer(gateway: Gateway, find: Any, data: Any, feature: str, *, no_store: bool) -> Kept:
    run = await app_runs.run(gateway, find, data=data, feature=feature, no_store=no_store)
    headers = run.served.headers | rate_limit_headers(run.served.admission.standings, at=books.now())
    return Kept(200, raw_json(app_runs.answer_of(run)), headers)


async def _run_later(gateway: Gateway, caller: Caller, data: Any, request: Request, send: Send) -> None:
    app_runs.validate_input(caller.app.input_schema, data)
    caller.require_active()
    key = request.header(b"idempotency-key") or str(uuid7())
    idempotency.check_key(key)
    subscription_id = str(caller.who.subscription_id)
    job = await gateway.read(
        lambda: jobs.enqueue(
            JOB_NAME,
            idempotency_key=f"run:{subscription_id}:{sha256(key.encode()).hexdigest()}",
            at=books.now(),
            subscription_id=subscription_id,
            key_id=str(caller.who.key_id),
            data=data,
        )
    )
    if job.arguments["data"] != data:
        raise idempotency.KeyReused
    await respond_json(
        send, 202, {"job": f"/jobs/{job.pk}", "state": job.state}, headers={"location": f"/jobs/{job.pk}"}
    )


async def show_job(gateway: Gateway, request: Request, send: Send, *, job_id: str) -> None:
    """GET /jobs/{id}: state and, at the end, the answer; for the subscription that asked."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    job = await gateway.read(lambda: _job(job_id))
    if job is None or job.arguments.get("subscription_id") != str(caller.who.subscription_id):
        raise NotFound("job", job_id)
    answer = {"id": str(job.pk), "state": job.state, "result": job.result, "error": job.last_error or None}
    await respond_json(send, 200, answer)


def _job(job_id: str) -> Job | None:
    try:
        return Job.objects.filter(pk=UUID(job_id), name=JOB_NAME).first()
    except ValueError:
        return None
