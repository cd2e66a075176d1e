"""A load generator on this machine: so many callers, each sending its next request when the last is answered.

It shares the machine with what it measures, so it does no more than it must: connections of its own kind, a request
written in one piece, and of the answer only the status and the end are looked for.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import count
from urllib.parse import urlsplit

import uvloop

_callers = count()
END_OF_HEAD = b"\r\n\r\n"


class _Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until the time is up."""

    def __init__(self, head: bytes, body: Callable[[], bytes], end: float, latencies: list[float]) -> None:
        self._head = head
        self._body = body
        self._end = end
        self._latencies = latencies
        self._answer = bytearray()
        self._began = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._end:
            self._transport.close()
            self.done.set_result(None)
            return
        body = self._body()
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not _is_whole(self._answer):
            return
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self._fail(f"answered {bytes(self._answer[:400])!r}")
            return
        self._answer.clear()
        self._latencies.append((time.perf_counter() - self._began) * 1000)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._fail(f"connection lost: {error}")

    def _fail(self, why: str) -> None:
        self._transport.abort()  # type: ignore[attr-defined]
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


def _is_whole(answer: bytearray) -> bool:
    """Tell whether an answer has ended, by its length or by the last of its chunks."""
    head = answer.find(END_OF_HEAD)
    if head < 0:
        return False
    fields = bytes(answer[:head]).lower()
    _, found, rest = fields.partition(b"content-length:")
    if found:
        return len(answer) >= head + len(END_OF_HEAD) + int(rest.split(b"\r\n", 1)[0])
    return answer.endswith(b"0\r\n\r\n") and answer.find(b"\r\n", head + len(END_OF_HEAD)) > 0


async def _drive(
    url: str, bodies: Callable[[int], bytes], *, headers: dict[str, str], callers: int, seconds: float
) -> tuple[float, list[float]]:
    address = urlsplit(url)
    lines = {"Host": address.netloc, **headers}
    head = f"POST {address.path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    latencies: list[float] = []
    began = time.perf_counter()
    made = [
        _Caller(f"{head}Content-Length: ".encode(), _numbered(bodies), began + seconds, latencies)
        for _ in range(callers)
    ]
    loop = asyncio.get_running_loop()
    for caller in made:
        await loop.create_connection(lambda caller=caller: caller, address.hostname, address.port)
    await asyncio.gather(*(caller.done for caller in made))
    return len(latencies) / (time.perf_counter() - began), latencies


def _numbered(bodies: Callable[[int], bytes]) -> Callable[[], bytes]:
    """Give the bodies of one caller, with numbers that nobody had before: what is sent again costs something else."""
    numbers = count(next(_callers) * 10_000_000)
    return lambda: bodies(next(numbers))


def drive(
    url: str,
    bodies: Callable[[int], bytes],
    *,
    headers: dict[str, str] | None = None,
    callers: int = 64,
    seconds: float = 6.0,
) -> tuple[float, list[float]]:
    """Send ``bodies(n)``, all different n, for some seconds; return requests a second and latencies in ms."""
    sent = {"Content-Type": "application/json"} | (headers or {})
    uvloop.run(_drive(url, bodies, headers=sent, callers=min(callers, 4), seconds=1.0))
    return uvloop.run(_drive(url, bodies, headers=sent, callers=callers, seconds=seconds))
