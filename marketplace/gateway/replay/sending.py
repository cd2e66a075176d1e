"""Sending batches to POST /meter over several connections; what fails is sent again under the same ids."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from marketplace.gateway.replay.events import Batch

NDJSON = "application/x-ndjson"
JSON = "application/json"
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE_S = 5.0
REQUEST_TIMEOUT_S = 60


@dataclass(frozen=True)
class Sending:
    """How to send: where, over how many connections, how long a batch is tried, and at the trace's own speed or not."""

    url: str
    concurrency: int = 4
    patience_s: float = 120
    is_single: bool = False
    is_real_time: bool = False


@dataclass
class Outcome:
    """What became of the events. ``acknowledged``: ids by app, of events that were accepted or known before."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Count the events that got an answer."""
        return self.accepted + self.duplicates + self.conflicts + self.refused.total()

    def percentile_ms(self, percent: int) -> float:
        """Return a percentile of the times of answered requests; 0 when there were none."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


Progress = Callable[[int], None]


def send_all(batches: Iterable[Batch], sending: Sending, *, progress: Progress) -> Outcome:
    """Send every batch; returns when each is answered or given up."""
    return asyncio.run(_Sender(sending, progress).run(batches))


class _Sender:
    def __init__(self, sending: Sending, progress: Progress) -> None:
        self.sending = sending
        self.progress = progress
        self.outcome = Outcome()
        self.began = 0.0

    async def run(self, batches: Iterable[Batch]) -> Outcome:
        connector = aiohttp.TCPConnector(limit=self.sending.concurrency)
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        # One iterator for all workers: asking it for the next batch never waits, so no two get the same.
        queue = iter(batches)
        self.began = time.monotonic()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._work(session, queue) for _ in range(self.sending.concurrency)))
        self.outcome.seconds = time.monotonic() - self.began
        return self.outcome

    async def _work(self, session: aiohttp.ClientSession, queue: Iterable[Batch]) -> None:
        for batch in queue:
            if self.sending.is_real_time:
                await asyncio.sleep(max(0.0, self.began + batch.after.total_seconds() - time.monotonic()))
            await self._send(session, batch)
            self.progress(len(batch.ids))

    async def _send(self, session: aiohttp.ClientSession, batch: Batch) -> None:
        body, content_type = self._body(batch)
        headers = {"Authorization": f"Bearer {batch.app.key}", "Content-Type": content_type}
        deadline = time.monotonic() + self.sending.patience_s
        attempt = 0
        while True:
            reason, pause_s = await self._try(session, batch, body, headers)
            if not reason:
                return
            # The pause grows and is never the same for two senders, so that they do not come back together.
            pause_s = pause_s or min(LONGEST_PAUSE_S, 0.2 * 2**attempt) * random.uniform(0.5, 1.0)
            attempt += 1
            if time.monotonic() + pause_s > deadline:
                self.outcome.unanswered += len(batch.ids)
                return
            self.outcome.retries[reason] += 1
            await asyncio.sleep(pause_s)

    def _body(self, batch: Batch) -> tuple[bytes, str]:
        if self.sending.is_single:
            return batch.lines[0], JSON
        return b"\n".join(batch.lines), NDJSON

    async def _try(
        self, session: aiohttp.ClientSession, batch: Batch, body: bytes, headers: dict[str, str]
    ) -> tuple[str, float | None]:
        """Send once; returns why it has to be tried again, and after how many seconds if the server said so."""
        began = time.monotonic()
        try:
            async with session.post(f"{self.sending.url}/meter", data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return type(error).__name__, None
        if response.status in TRY_AGAIN:
            return str(response.status), _retry_after(response.headers.get("Retry-After"))
        self.outcome.latencies_ms.append((time.monotonic() - began) * 1000)
        if response.status not in (200, 207):
            self.outcome.refused[_code_of(response.status, answer)] += len(batch.ids)
            return "", None
        self._count(batch, msgspec.json.decode(answer))
        return "", None

    def _count(self, batch: Batch, answer: dict[str, Any]) -> None:
        self.outcome.accepted += answer["accepted"]
        self.outcome.duplicates += answer["duplicates"]
        self.outcome.conflicts += answer["conflicts"]
        lost = set()
        for line in answer["results"]:
            if line["status"] in ("rejected", "conflict"):
                lost.add(line["id"])
            if line["status"] == "rejected":
                self.outcome.refused[line["error"]["code"]] += 1
        kept = self.outcome.acknowledged.setdefault(batch.app.slug, [])
        kept += [identity for identity in batch.ids if identity not in lost]


def _retry_after(text: str | None) -> float | None:
    return min(float(text), 30.0) if text and text.isascii() and text.isdigit() else None


def _code_of(status: int, answer: bytes) -> str:
    """Find the code in an error body, whichever way it is written; else the status."""
    try:
        found = msgspec.json.decode(answer)
        code = found.get("code") or found["error"]["code"]
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        code = ""
    return f"{status} {code}".strip()
