"""``?async=1`` of /apps/{slug}/run, and /jobs/{id}."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from marketplace.core.errors import NotFound
from marketplace.gateway import app_runs, books, idempotency
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making, shapes
from marketplace.gateway.async_runs.making import Asked
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, respond_json
from marketplace.gateway.pipeline import Gateway


async def run_later(gateway: Gateway, caller: Caller, data: Any, request: Request, send: Send) -> None:
    """Queue a run and answer where it is told of."""
    app_runs.validate_input(caller.app.input_schema, data)
    caller.require_active()
    key = request.header(b"idempotency-key")
    idempotency.check_key(key)
    assert caller.who.subscription_id is not None
    asked = Asked(
        caller.who.subscription_id,
        data,
        key_id=caller.who.key_id,
        feature=request.header(b"x-halfpenny-feature")[:40],
    )
    ask = partial(
        making.ask, asked, idempotency_key=key, keep_days=settings.RUN_RETENTION_DAYS, at=books.now()
    )
    run = await gateway.read(ask)
    address = f"/jobs/{run.pk}"
    answer = {"job": address, "id": str(run.pk), "state": run.state}
    await respond_json(send, 202, answer, headers={"location": address})


async def show_job(gateway: Gateway, request: Request, send: Send, *, job_id: str) -> None:
    """GET /jobs/{id}: state and, at the end, the answer; for the subscription that asked."""
    await respond_json(send, 200, shapes.job(await _run(gateway, request, job_id)))


async def cancel_job(gateway: Gateway, request: Request, send: Send, *, job_id: str) -> None:
    """POST /jobs/{id}/cancel"""
    run = await _run(gateway, request, job_id)
    await gateway.read(partial(making.cancel, run, at=books.now()))
    await respond_json(send, 200, shapes.job(run))


async def _run(gateway: Gateway, request: Request, job_id: str) -> AsyncRun:
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    found = await gateway.read(lambda: _find(job_id, caller))
    if found is None:
        raise NotFound("job", job_id)
    return found


def _find(job_id: str, caller: Caller) -> AsyncRun | None:
    try:
        own = AsyncRun.objects.filter(pk=UUID(job_id), subscription=caller.who.subscription_id)
    except ValueError:
        return None
    return own.filter(expires_at__gt=books.now()).first()
