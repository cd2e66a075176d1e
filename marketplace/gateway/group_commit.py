"""Group commit with natural batching: what arrives while a transaction runs goes into the next one, together.

A lone caller waits for one commit, many callers share its cost. Who was just answered often comes back at once, a moment
too late for the next transaction, so that callers fall into two halves which wait for each other: after a batch of many
the group waits for as many again, but never longer than ``PATIENCE`` of what the last transaction took.

The work itself is synchronous and runs in one thread of its own; the event loop hops there once for a batch, not once
for a call.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from marketplace.core.errors import Unavailable


class Weighted(Protocol):
    """Something to commit; ``weight`` is how many rows it brings."""

    @property
    def weight(self) -> int: ...


# Of the last transaction's time. Longer gains nothing more; shorter leaves the halves apart.
PATIENCE = 0.25

I = TypeVar("I", bound=Weighted)  # noqa: E741
O = TypeVar("O")  # noqa: E741

Commit = Callable[[list[I]], list[O | Exception]]


class TooBusy(Unavailable):
    """More work is waiting than can be done soon; nothing was done with this one."""

    code = "too_busy"

    def __init__(self) -> None:
        super().__init__("The server has more work waiting than it can take.", retry_after_s=1)


class GroupCommit(Generic[I, O]):
    """Collects items and commits them in batches of at most ``max_weight``; at most ``max_waiting`` may wait.

    ``commit`` and, when the group is closed, ``end`` run in the group's thread.
    """

    def __init__(
        self,
        commit: Commit[I, O],
        *,
        end: Callable[[], None] = lambda: None,
        max_weight: int = 20_000,
        max_waiting: int = 200_000,
        name: str = "commit",
    ) -> None:
        self._commit = commit
        self._end = end
        self._max_weight = max_weight
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._weight = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._runner: asyncio.Task[None] | None = None
        self._gathering: tuple[int, asyncio.Future[None]] | None = None

    async def submit(self, item: I) -> O:
        """Commit one item with whatever else is waiting; returns its own answer after the commit."""
        if self._weight >= self._max_waiting:
            raise TooBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[O] = loop.create_future()
        self._waiting.append((item, future))
        self._weight += item.weight
        if self._gathering is not None and len(self._waiting) >= self._gathering[0]:
            self._go_on()
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            started = loop.time()
            try:
                answers = await loop.run_in_executor(
                    self._executor, self._commit, [item for item, _ in batch]
                )
            except Exception as error:  # the edge of the thread: whoever waits must hear of it
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            if len(batch) > 1:
                took_s = loop.time() - started
                await self._gather(len(batch) + len(self._waiting), at_most_s=PATIENCE * took_s)

    async def _gather(self, count: int, *, at_most_s: float) -> None:
        """Return when ``count`` items wait, or when the time is over."""
        loop = asyncio.get_running_loop()
        self._gathering = (count, loop.create_future())
        timer = loop.call_later(at_most_s, self._go_on)
        try:
            await self._gathering[1]
        finally:
            timer.cancel()
            self._gathering = None

    def _go_on(self) -> None:
        if self._gathering is not None and not self._gathering[1].done():
            self._gathering[1].set_result(None)

    def _take(self) -> list[tuple[I, "asyncio.Future[O]"]]:
        batch = [self._waiting.popleft()]
        weight = batch[0][0].weight
        while self._waiting and weight + self._waiting[0][0].weight <= self._max_weight:
            entry = self._waiting.popleft()
            weight += entry[0].weight
            batch.append(entry)
        self._weight -= weight
        return batch

    async def close(self) -> None:
        """Finish what is waiting and end the thread."""
        while self._runner is not None and not self._runner.done():
            await asyncio.wait([self._runner])
        await asyncio.get_running_loop().run_in_executor(self._executor, self._end)
        self._executor.shutdown(wait=True)
