"""A load generator on this machine: so many callers, each sending its next request when the last is answered."""

import asyncio
import time
from collections.abc import Callable

import aiohttp


async def _drive(
    url: str, bodies: Callable[[int], bytes], *, headers: dict[str, str], callers: int, seconds: float
) -> tuple[int, float, list[float]]:
    latencies: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        end = time.perf_counter() + seconds

        async def caller(number: int) -> int:
            sent = 0
            while (began := time.perf_counter()) < end:
                async with session.post(url, data=bodies(number * 10_000_000 + sent)) as answer:
                    content = await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"{answer.status}: {content[:300]!r}")
                latencies.append((time.perf_counter() - began) * 1000)
                sent += 1
            return sent

        began = time.perf_counter()
        done = sum(await asyncio.gather(*(caller(number) for number in range(callers))))
        return done, time.perf_counter() - began, latencies


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
    asyncio.run(_drive(url, bodies, headers=sent, callers=min(callers, 4), seconds=1.0))
    done, took, latencies = asyncio.run(_drive(url, bodies, headers=sent, callers=callers, seconds=seconds))
    return done / took, latencies
