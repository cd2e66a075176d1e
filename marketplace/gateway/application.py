"""The hot paths as one ASGI application: /v1, /meter, /otlp, /apps/{slug}/run, /jobs. Runs beside Django or alone."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from marketplace.core.errors import HalfpennyError
from marketplace.gateway import chat_api, failures, meter_api, otlp_api, run_api
from marketplace.gateway.http import ClientGone, Message, Receive, Request, Scope, Send, respond_json
from marketplace.gateway.pipeline import Gateway

logger = logging.getLogger(__name__)

Handler = Callable[[Gateway, Request, Send], Awaitable[None]]
ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/chat/completions"): chat_api.chat_completions,
    ("POST", "/v1/embeddings"): chat_api.embeddings,
    ("GET", "/v1/models"): chat_api.models,
    ("POST", "/meter"): meter_api.meter,
    ("POST", otlp_api.PATH): otlp_api.traces,
}
RUN_PATH = re.compile(r"^/apps/([a-z0-9_-]{1,60})/run$")
JOB_PATH = re.compile(r"^/jobs/([0-9a-fA-F-]{36})$")

_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, Gateway] = WeakKeyDictionary()


def takes(path: str) -> bool:
    """Tell whether a path is answered here."""
    return (
        path.startswith(("/v1/", "/otlp/", "/jobs/")) or path == "/meter" or RUN_PATH.match(path) is not None
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
    except Exception:  # the edge of the process: a surprise is logged with its stack and answered as such
        logger.exception("%s %s failed", request.method, request.path)
        if has_started:
            raise
        body = {
            "error": {
                "message": "Something broke here.",
                "type": "server_error",
                "code": "internal",
                "param": None,
            }
        }
        await respond_json(send, 500, body)


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
        await run_api.show_job(gateway, request, send, job_id=job[1])
        return
    await _no_such_path(request, send)


async def _no_such_path(request: Request, send: Send) -> None:
    methods = sorted(method for method, path in ROUTES if path == request.path)
    if RUN_PATH.match(request.path):
        methods = ["POST"]
    status, code = (405, "method_not_allowed") if methods else (404, "not_found")
    message = (
        f"{request.path} takes {', '.join(methods)}." if methods else f"There is nothing at {request.path}."
    )
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}
    await respond_json(send, status, body, headers={"allow": ", ".join(methods)} if methods else None)


async def _refuse(request: Request, send: Send, error: HalfpennyError) -> None:
    if otlp_api.takes(request.path):
        status, headers = failures.status_for(error), failures.headers_for(error)
        await otlp_api.refuse(request, send, status, error.message, headers=headers)
        return
    is_openai = request.path.startswith("/v1/")
    body = failures.openai_body(error) if is_openai else failures.problem_body(error)
    await respond_json(send, failures.status_for(error), body, headers=failures.headers_for(error))
