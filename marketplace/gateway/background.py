"""Calls from synchronous code (pages, jobs): one event loop in a thread of its own, with its own gateway."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from marketplace.gateway.pipeline import Gateway

T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_gateway: Gateway | None = None


def call(work: Callable[[Gateway], Awaitable[T]]) -> T:
    """Run asynchronous work with this process's background gateway and wait for it."""
    loop = _running_loop()
    return asyncio.run_coroutine_threadsafe(_with_gateway(work), loop).result()


async def _with_gateway(work: Callable[[Gateway], Awaitable[T]]) -> T:
    global _gateway
    if _gateway is None:
        _gateway = Gateway()
    return await work(_gateway)


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None or not _loop.is_running():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=[_loop], name="gateway", daemon=True).start()
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def close() -> None:
    """End the loop and its gateway (tests, and a worker that stops)."""
    global _loop, _gateway
    with _lock:
        loop, gateway = _loop, _gateway
        _loop = _gateway = None
    if loop is None:
        return
    if gateway is not None:
        asyncio.run_coroutine_threadsafe(gateway.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
