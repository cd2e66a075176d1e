"""Bringing together what arrives at about the same time, without making anybody wait who is alone.

Whoever is on the way is announced. What has arrived goes as soon as nobody else is announced, the group is full, or the
first has waited for its budget: so a lone caller waits for nothing, and a crowd for a few milliseconds at most.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

Send = Callable[[list[I]], Awaitable[list[O | BaseException]]]


@dataclass(slots=True)
class _Group(Generic[I, O]):
    kind: Hashable
    arrived: list[tuple[I, "asyncio.Future[O]"]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Gatherer(Generic[I, O]):
    """Groups by key what is to be sent together; ``kind`` is what announcements are counted by.

    ``send`` gets a group and gives an answer or an error for each, in order. It runs in a task of its own: one who goes
    away takes nobody along.
    """

    def __init__(
        self,
        send: Send[I, O],
        *,
        most: int,
        budget_s: float,
        start: Callable[[Coroutine[Any, Any, None]], object] = asyncio.ensure_future,
    ) -> None:
        self._send = send
        self._most = most
        self._budget_s = budget_s
        self._start = start
        self._coming: Counter[Hashable] = Counter()
        self._groups: dict[Hashable, _Group[I, O]] = {}

    def announce(self, kind: Hashable) -> "Announced":
        """Say that somebody is on the way."""
        self._coming[kind] += 1
        return Announced(kind, self._withdraw)

    async def arrive(self, item: I, *, announced: "Announced", key: Hashable) -> O:
        """Go together with others of the same key; returns the own answer or raises the own error."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[O] = loop.create_future()
        group = self._groups.setdefault(key, _Group(announced.kind))
        group.arrived.append((item, future))
        if len(group.arrived) >= self._most:
            self._go(key)
        # After joining: the last one who is on the way sets off all that have arrived, itself among them.
        announced.end()
        if group.timer is None and self._groups.get(key) is group:
            group.timer = loop.call_later(self._budget_s, self._go, key)
        return await future

    def _withdraw(self, kind: Hashable) -> None:
        self._coming[kind] -= 1
        if self._coming[kind] > 0:
            return
        del self._coming[kind]
        for key in [key for key, group in self._groups.items() if group.kind == kind]:
            self._go(key)

    def _go(self, key: Hashable) -> None:
        group = self._groups.pop(key, None)
        if group is None:
            return
        if group.timer is not None:
            group.timer.cancel()
        self._start(self._run(group.arrived))

    async def _run(self, arrived: list[tuple[I, "asyncio.Future[O]"]]) -> None:
        answers: list[O | BaseException]
        try:
            answers = await self._send([item for item, _ in arrived])
        except Exception as error:  # the edge of the task: whoever waits must hear of it
            answers = [error] * len(arrived)
        for (_, future), answer in zip(arrived, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)


class Announced:
    """An announcement, to be ended once; ending it again changes nothing."""

    def __init__(self, kind: Hashable, withdraw: Callable[[Hashable], None]) -> None:
        self.kind = kind
        self._withdraw: Callable[[Hashable], None] | None = withdraw

    def end(self) -> None:
        """Say that who was announced has arrived, or does not come."""
        withdraw, self._withdraw = self._withdraw, None
        if withdraw is not None:
            withdraw(self.kind)
