"""Yardsticks: the least an ASGI server can do for the same request."""

import os
from typing import Any

import aiohttp
import msgspec

_session: aiohttp.ClientSession | None = None


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer."""
    if scope["type"] == "http":
        await _body(receive)
        await _answer(send, b"{}")


async def proxy(scope: Any, receive: Any, send: Any) -> None:
    """Pass a POST on to UPSTREAM with aiohttp and its answer back, nothing else."""
    global _session
    if scope["type"] != "http":
        return
    body = await _body(receive)
    if scope["method"] != "POST":
        await _answer(send, b"{}")
        return
    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1024))
    async with _session.post(os.environ["UPSTREAM"] + scope["path"], data=body) as answer:
        await _answer(send, await answer.read())


_insert_pool: Any = None
# The row of an event, with the columns and indexes that events have here.
INSERT = (
    "INSERT INTO bench_event (app_id, event_id, occurred_at, received_at, period, attribution_id, requests, input_tokens, "
    "cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, cost, currency, rate_card_id, "
    "is_estimated) VALUES (1, %s, now(), now(), '2026-11-01', 1, 1, %s, 0, 0, 0, 0, 0, %s, 'USD', 1, false)"
)


async def insert_each(scope: Any, receive: Any, send: Any) -> None:
    """Insert the row of an event for each request, in a transaction of its own, with pooled async connections."""
    global _insert_pool
    if scope["type"] != "http":
        return
    body = await _body(receive)
    if scope["method"] != "POST":
        await _answer(send, b"{}")
        return
    import psycopg_pool  # noqa: PLC0415  # only this yardstick needs it

    if _insert_pool is None:
        _insert_pool = psycopg_pool.AsyncConnectionPool(os.environ["DSN"], min_size=8, max_size=8, open=False)
        await _insert_pool.open()
    event = msgspec.json.decode(body)
    async with _insert_pool.connection() as connection:
        await connection.execute(INSERT, [event["id"], event["tokens"], event["tokens"] / 10**7])
    await _answer(send, b"{}")
