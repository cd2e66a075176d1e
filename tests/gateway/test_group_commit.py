import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from marketplace.gateway.group_commit import GroupCommit, TooBusy

WAIT_S = 10


@dataclass(frozen=True)
class Item:
    name: int
    weight: int = 1


class Transactions:
    """Commits of a group, each held until it is let go; answers every item with its name."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def commit(self, items: list[Item]) -> list[int | Exception]:
        self.batches.append([item.name for item in items])
        self.begun.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        return [item.name if item.name >= 0 else ValueError(item.name) for item in items]

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT_S)

    def let_go(self, times: int = 1) -> None:
        self.may_end.release(times)


def run(
    scene: Callable[[GroupCommit[Item, int], Transactions], Coroutine[Any, Any, None]], **bounds: int
) -> Transactions:
    """Play a scene with a group and its transactions, and close the group."""

    async def play() -> Transactions:
        transactions = Transactions()
        group: GroupCommit[Item, int] = GroupCommit(transactions.commit, **bounds)
        try:
            await asyncio.wait_for(scene(group, transactions), WAIT_S)
        finally:
            transactions.let_go(100)
            await group.close()
        return transactions

    return asyncio.run(play())


async def _waiting(group: GroupCommit[Item, int], *items: Item) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(group.submit(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


class TestSubmit:
    def test_commits_together_what_came_while_a_transaction_ran(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            first = await _waiting(group, Item(1))
            await transactions.has_begun()
            others = await _waiting(group, Item(2), Item(3))
            transactions.let_go(2)
            assert await asyncio.gather(*first, *others) == [1, 2, 3]

        assert run(scene).batches == [[1], [2, 3]]

    def test_takes_no_more_than_fits_into_a_batch(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            tasks = await _waiting(group, Item(1, weight=2), Item(2, weight=2), Item(3, weight=1))
            transactions.let_go(2)
            assert await asyncio.gather(*tasks) == [1, 2, 3]

        assert run(scene, max_weight=3).batches == [[1], [2, 3]]

    def test_refuses_what_would_wait_behind_too_much(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            tasks = await _waiting(group, Item(1))
            await transactions.has_begun()
            tasks += await _waiting(group, Item(2, weight=5))
            with pytest.raises(TooBusy):
                await group.submit(Item(3))
            transactions.let_go(2)
            await asyncio.gather(*tasks)

        assert run(scene, max_waiting=5).batches == [[1], [2]]

    def test_answers_a_failure_to_its_own_item_alone(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            tasks = await _waiting(group, Item(1), Item(-2))
            transactions.let_go()
            good, bad = await asyncio.gather(*tasks, return_exceptions=True)
            assert good == 1
            assert isinstance(bad, ValueError)

        run(scene)


class TestPatience:
    def test_brings_those_who_come_back_at_once_into_one_transaction(self) -> None:
        """Without it the first to come back goes alone, and the others wait for that."""

        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            async def caller(name: int) -> None:
                await group.submit(Item(name))
                for _ in range(3 * name):
                    await asyncio.sleep(0)
                await group.submit(Item(name + 10))

            tasks = [asyncio.create_task(caller(name)) for name in (1, 2, 3)]
            await transactions.has_begun()
            await asyncio.sleep(0.4)  # what the wait is a part of
            transactions.let_go(9)
            await asyncio.gather(*tasks)

        assert run(scene).batches == [[1, 2, 3], [11, 12, 13]]

    def test_ends_when_nobody_comes_back(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            tasks = await _waiting(group, Item(1), Item(2))
            await transactions.has_begun()
            late = await _waiting(group, Item(3))
            transactions.let_go(2)
            assert await asyncio.gather(*tasks, *late) == [1, 2, 3]

        assert run(scene).batches == [[1, 2], [3]]

    def test_does_not_keep_a_lone_caller(self) -> None:
        async def scene(group: GroupCommit[Item, int], transactions: Transactions) -> None:
            transactions.let_go(2)
            assert await group.submit(Item(1)) == 1
            assert group._gathering is None
            assert await group.submit(Item(2)) == 2

        assert run(scene).batches == [[1], [2]]
