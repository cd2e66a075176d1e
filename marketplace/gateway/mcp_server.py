"""Model Context Protocol, by the official SDK: lists apps as tools and calls them through the ordinary pipeline.

A server is made for each request and forgotten after it, so any process of any machine answers any request. The SDK is
heavy; ``mcp_api`` imports this module when it is first asked for.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from marketplace.accounts.models import ApiKey
from marketplace.core.errors import HalfpennyError, InvalidInput, Unavailable
from marketplace.core.json import encode
from marketplace.gateway import app_runs, app_tools, books, failures
from marketplace.gateway.app_runs import AppRun
from marketplace.gateway.app_tools import AppTool
from marketplace.gateway.http import Request, Send
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.pipeline import FindCaller, Gateway

PAGE_SIZE = 100
PROGRESS_EVERY_S = 5.0
INSTRUCTIONS = (
    "Each tool is an app that your team subscribes to. Calls are metered and billed to that subscription. "
    "A refused call costs nothing; its error names the limit and when it resets."
)

Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Connection:
    """One request: who presents which key to which gateway."""

    gateway: Gateway
    key: str
    feature: str


async def serve(gateway: Gateway, request: Request, send: Send, *, most_bytes: int) -> None:
    """Answer one request of a client whose key was looked at already."""
    connection = Connection(gateway, request.key, request.header(b"x-halfpenny-feature")[:40])
    server: Server[Any] = Server(
        "halfpenny",
        title=settings.MARKETPLACE_NAME,
        instructions=INSTRUCTIONS,
        on_list_tools=partial(list_tools, connection),
        on_call_tool=partial(call_tool, connection),
    )
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=most_bytes)
    async with manager.run():
        await manager.handle_request(request.scope, request.receive, send)


async def list_tools(
    connection: Connection, _: Context, params: PaginatedRequestParams | None
) -> ListToolsResult:
    """tools/list: a page of what the key may call."""
    found = await _tools(connection)
    after = params.cursor if params and params.cursor else ""
    rest = [tool for tool in found if str(tool.subscription_id) > after]
    page = rest[:PAGE_SIZE]
    cursor = str(page[-1].subscription_id) if len(rest) > len(page) else None
    return ListToolsResult(tools=[_as_tool(tool) for tool in page], next_cursor=cursor)


async def call_tool(
    connection: Connection, context: Context, params: CallToolRequestParams
) -> CallToolResult:
    """tools/call: one metered call of an app; what refuses it is told as an error of the tool."""
    found = {tool.name: tool for tool in await _tools(connection)}
    tool = found.get(params.name)
    if tool is None:
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
    # The caller may hang up; what was sent to a model is metered all the same, as of a plain call.
    work = connection.gateway.in_background(_run(connection, tool, params.arguments or {}))
    try:
        run = await _telling(context, work)
    except HalfpennyError as error:
        return _refusal(error)
    return _answer(run)


async def _run(connection: Connection, tool: AppTool, data: dict[str, Any]) -> AppRun:
    find = _finder(connection, tool)
    return await app_runs.run(connection.gateway, find, data=data, feature=connection.feature)


def _finder(connection: Connection, tool: AppTool) -> FindCaller:
    gateway, key = connection.gateway, connection.key
    if tool.key_kind == ApiKey.Kind.SUB:
        return partial(gateway.find, key, kind="sub")  # type: ignore[return-value]  # of this kind it finds callers
    return lambda: gateway.read(lambda: app_tools.caller_again(key, tool.subscription_id, at=books.now()))


async def _telling(context: Context, work: "asyncio.Task[AppRun]") -> AppRun:
    """Wait for a call; a client that asked for progress hears that it goes on, and waits longer."""
    started = monotonic()
    while not (await asyncio.wait({work}, timeout=PROGRESS_EVERY_S))[0]:
        waited = monotonic() - started
        await context.session.report_progress(waited, message=f"The app has been working for {waited:.0f} s.")
    return work.result()


def _tools(connection: Connection) -> Awaitable[list[AppTool]]:
    return connection.gateway.read(lambda: app_tools.tools_of(connection.key, at=books.now()))


def _as_tool(tool: AppTool) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        # What an app of somebody else's server does with its input is not ours to promise.
        annotations=ToolAnnotations(
            title=tool.title, read_only_hint=not tool.is_remote, open_world_hint=tool.is_remote
        ),
    )


def _answer(run: AppRun) -> CallToolResult:
    answer = app_runs.answer_of(run)
    output = answer["output"]
    text = output if isinstance(output, str) else encode(output)
    return CallToolResult(content=[TextContent(text=text)], structured_content=answer)


def _refusal(error: HalfpennyError) -> CallToolResult:
    """Tell a model why there is no answer, in words and as the problem that a plain call answers."""
    problem = failures.problem_body(error)
    if isinstance(error, Unavailable) and error.retry_after_s:
        problem["retry_after_s"] = error.retry_after_s
    return CallToolResult(
        content=[TextContent(text=_in_words(error))], structured_content=problem, is_error=True
    )


def _in_words(error: HalfpennyError) -> str:
    if isinstance(error, LimitReached):
        return f"Refused, nothing was charged. {error.message}"
    if isinstance(error, InvalidInput):
        return " ".join(f"{one.field}: {one.message}" if one.field else one.message for one in error.errors)
    return error.message
