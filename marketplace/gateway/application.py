"""The hot paths as one ASGI application: /v1, /meter, /otlp, /apps/{slug}/run, /jobs, /mcp. Runs beside Django or alone."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from marketplace.core.errors import HalfpennyError
from marketplace.core.problems import PROBLEM_TYPE
from marketplace.gateway import chat_api, failures, feedback_api, mcp_api, meter_api, otlp_api, run_api
from marketplace.gateway.async_runs import http_api as async_api
from marketplace.gateway.batches import http_api as batch_api
from marketplace.gateway.failures import BrokeHere, MethodNotAllowed, NothingHere
from marketplace.gateway.http import ClientGone, Message, Receive, Request, Scope, Send, respond_json
from marketplace.gateway.messages import errors as messages_errors
from marketplace.gateway.messages import http_api as messages_api
from marketplace.gateway.pipeline import Gateway

logger = logging.getLogger(__name__)

Handler = Callable[[Gateway, Request, Send], Awaitable[None]]
ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/chat/completions"): chat_api.chat_completions,
    ("POST", "/v1/embeddings"): chat_api.embeddings,
    ("GET", messages_api.MODELS_PATH): messages_api.models,
    ("POST", messages_api.PATH): messages_api.messages,
    ("POST", messages_api.COUNT_PATH): messages_api.count_tokens,
    ("POST", "/v1/feedback"): feedback_api.give,
    ("POST", "/meter"): meter_api.meter,
    ("POST", otlp_api.PATH): otlp_api.traces,
    ("POST", mcp_api.PATH): mcp_api.mcp,
    **batch_api.EXACT,
}
RUN_PATH = re.compile(r"^/apps/([a-z0-9_-]{1,60})/run$")
MODEL_PATH = re.compile(r"^/v1/models/(.{1,80})$")
JOB_PATH = re.compile(r"^/jobs/([0-9a-fA-F-]{36})$")
JOB_CANCEL_PATH = re.compile(r"^/jobs/([0-9a-fA-F-]{36})/cancel$")

_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, Gateway] = WeakKeyDictionary()


def takes(path: str) -> bool:
    """Tell whether a path is answered here."""
    return (
        path.startswith(("/v1/", "/otlp/", "/jobs/"))
        or path in ("/meter", mcp_api.PATH)
        or RUN_PATH.match(path) is not None
    )


def gateway_of_loop() -> Gateway:
    """Return the gateway of the running event loop, made when first asked for."""
    loop = asyncio.get_running_loop()
    gateway = _gateways.get(loop)
    if gateway is None:
        gateway = _gateways[loop] = Gateway()
    return gateway


async def close_gateway() -> None:
    """Settle and close the gateway of the running loop, if there is one."""
    gateway = _gateways.pop(asyncio.get_running_loop(), None)
    if gateway is not None:
        await gateway.close()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    request = Request(scope, receive)
    has_started = False

    async def watched(message: Message) -> None:
        nonlocal has_started
        has_started = True
        await send(message)

    try:
        await _dispatch(request, watched)
    except ClientGone:
        return
    except HalfpennyError as error:
        if has_started:
            raise
        await _refuse(request, send, error)
    except Exception as surprise:  # the edge of the process: logged with its stack and answered as what it is
        logger.exception("%s %s failed", request.method, request.path)
        if has_started:
            raise
        broken = BrokeHere()
        broken.__cause__ = surprise
        await _refuse(request, send, broken)


async def _dispatch(request: Request, send: Send) -> None:
    gateway = gateway_of_loop()
    handler = ROUTES.get((request.method, request.path))
    if handler is not None:
        await handler(gateway, request, send)
        return
    run = RUN_PATH.match(request.path)
    if run and request.method == "POST":
        await run_api.run_app(gateway, request, send, slug=run[1])
        return
    job = JOB_PATH.match(request.path)
    if job and request.method == "GET":
        await async_api.show_job(gateway, request, send, job_id=job[1])
        return
    canceled = JOB_CANCEL_PATH.match(request.path)
    if canceled and request.method == "POST":
        await async_api.cancel_job(gateway, request, send, job_id=canceled[1])
        return
    named = batch_api.handler_of(request.method, request.path)
    if named:
        await named(gateway, request, send)
        return
    one = MODEL_PATH.match(request.path)
    if one and request.method == "GET":
        await messages_api.model(gateway, request, send, name=one[1])
        return
    methods = _methods_of(request.path)
    raise MethodNotAllowed(request.path, methods) if methods else NothingHere(request.path)


def _methods_of(path: str) -> list[str]:
    if RUN_PATH.match(path) or JOB_CANCEL_PATH.match(path):
        return ["POST"]
    if JOB_PATH.match(path) or MODEL_PATH.match(path):
        return ["GET"]
    if named := batch_api.methods_of(path):
        return named
    return sorted(method for method, known in ROUTES if known == path)


async def _refuse(request: Request, send: Send, error: HalfpennyError) -> None:
    status, headers = failures.status_for(error), failures.headers_for(error)
    try:
        await request.drain()
    except ClientGone:
        return
    if otlp_api.takes(request.path):
        await otlp_api.refuse(request, send, status, error.message, headers=headers)
    elif messages_api.takes(request):
        await respond_json(send, status, messages_errors.body(error), headers=headers)
    elif request.path.startswith("/v1/"):
        await respond_json(send, status, failures.openai_body(error), headers=headers)
    else:
        body = failures.problem_body(error)
        await respond_json(send, status, body, headers=headers, content_type=PROBLEM_TYPE.encode())
