"""One request and its answer: read, paused, spoiled as a fault asks, sent."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any

import msgspec

from marketplace.gateway.demo_provider.faults import Fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

MAX_BODY_BYTES = 16 * 1024 * 1024
EVENTS_PER_WRITE = 8
PAUSE_S = 0.002
"""The shortest pause worth taking between two writes of a stream."""

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
PROVIDER = (b"x-provider", b"halfpenny-demo")


class CallerGone(Exception):
    """The caller closed the connection."""


class Refusal(Exception):
    """An answer that is not 2xx, in OpenAI's shape."""

    def __init__(
        self, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with what is needed to answer it."""

    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    fault: Fault
    receive: Receive
    send: Send


async def read_body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    if not message.get("more_body"):
        return message.get("body", b"")
    parts = bytearray(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        parts += message.get("body", b"")
        if len(parts) > MAX_BODY_BYTES:
            raise Refusal(413, "The body is too large.", kind="invalid_request_error")
    return bytes(parts)


async def pause(receive: Receive, seconds: float) -> None:
    """Wait, but stop working when the caller leaves: after the body, only that can arrive."""
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        return
    raise CallerGone


async def wait_until_gone(receive: Receive) -> None:
    await receive()
    raise CallerGone


async def send_json(send: Send, body: Mapping[str, Any], *, status: int = 200, headers: Headers = ()) -> None:
    data = msgspec.json.encode(body)
    await start(send, status=status, headers=(JSON, (b"content-length", b"%d" % len(data)), *headers))
    await send({"type": "http.response.body", "body": data})


async def send_answer(exchange: Exchange, body: Mapping[str, Any], *, headers: Headers = ()) -> None:
    """Send a whole answer, or what the fault leaves of it."""
    data = msgspec.json.encode(body)
    kind = exchange.fault.kind
    if kind == "bad-json":
        data = data[: len(data) // 2]
    length = (b"content-length", b"%d" % len(data))
    await start(exchange.send, status=200, headers=(JSON, length, *headers))
    if kind == "half-stream":
        # less than was announced: the server closes the connection when this returns
        await exchange.send({"type": "http.response.body", "body": data[: len(data) // 2], "more_body": True})
        return
    await exchange.send({"type": "http.response.body", "body": data})


async def send_events(exchange: Exchange, events: list[bytes], *, pace_s: float) -> None:
    """Send a stream, several events a write, pausing so that each takes its time."""
    per_write = max(1, ceil(PAUSE_S / pace_s)) if pace_s else EVENTS_PER_WRITE
    events, is_cut = _with_fault(events, fault=exchange.fault)
    await start(exchange.send, status=200, headers=(EVENT_STREAM, (b"cache-control", b"no-cache")))
    for block in _blocks(events, size=per_write):
        await exchange.send({"type": "http.response.body", "body": b"".join(block), "more_body": True})
        await pause(exchange.receive, pace_s * len(block))
    if exchange.fault.kind == "stall":
        await wait_until_gone(exchange.receive)
    if not is_cut:
        await exchange.send({"type": "http.response.body", "body": b""})


def _with_fault(events: list[bytes], *, fault: Fault) -> tuple[list[bytes], bool]:
    """Spoil a stream; say also whether it ends without an end."""
    if fault.kind in ("half-stream", "stall"):
        kept = len(events) // 2 if fault.number is None else fault.number
        # half of the next event too: a cut does not wait for the end of one
        rest = [event[: len(event) // 2] for event in events[kept : kept + 1]]
        return events[:kept] + rest, True
    if fault.kind == "bad-json":
        middle = len(events) // 2
        return [*events[:middle], b'data: {"id": "chatcmpl-\n\n', *events[middle:]], False
    return events, False


def _blocks(events: Iterable[bytes], *, size: int) -> Iterable[list[bytes]]:
    waiting = iter(events)
    while block := list(islice(waiting, size)):
        yield block


async def start(send: Send, *, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [PROVIDER, *headers]})


def reset(send: Send) -> None:
    """Break the connection off, as a process that dies does. Only a real server has one to break."""
    transport = send.__self__.transport  # type: ignore[attr-defined]
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
