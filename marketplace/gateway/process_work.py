"""What a process does around its calls: it asks the database in threads, ends holds, and finishes what nobody may cancel."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from marketplace.accounts import keys
from marketplace.core.errors import Unavailable
from marketplace.gateway import books
from marketplace.gateway.admitted import Admission, Served
from marketplace.gateway.books import Answer, DatabaseAway, Entry, Settle
from marketplace.gateway.group_commit import GroupCommit
from metering.ingest import Receipt, Usage
from quotas.admission import Settled, Settlement

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ProcessWork:
    """The threads and background tasks of one event loop, and the group commit that both use."""

    def __init__(self) -> None:
        self.group: GroupCommit[Entry, Answer] = GroupCommit(books.commit, end=books.end, name="books")
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="directory")
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._settling: set[asyncio.Task[Any]] = set()
        self._uses: dict[UUID, datetime] = {}

    async def finish_background(self) -> None:
        """Wait, not for ever, for what is still to be settled."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=10)

    async def end_threads(self) -> None:
        """Finish what waits to be committed, and end all threads."""
        await self.group.close()
        self._reader.shutdown(wait=True)
        self._parser.shutdown(wait=True)

    async def read(self, question: Callable[[], T]) -> T:
        """Ask the database in a thread of its own; raises DatabaseAway when it cannot be reached."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, partial(_asked, question))

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Compute something long in a thread, one after the other in the order they came.

        Side by side they would only share the interpreter and end all at the same time: the transactions' thread would
        wait for all of them, and they then for it. In turn, one is read while the one before is committed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._parser, work)

    async def settle_app_call(self, admission: Admission, usage: Usage) -> Served:
        """End the hold of an app that runs elsewhere with what it used."""
        receipt = await self._end(admission, usage)
        cost, currency = (receipt.rated.cost, receipt.currency) if receipt else (Decimal(0), "")
        return Served(admission, usage.model, "the app's own endpoint", cost, usage.quantities, currency)

    async def release(self, admission: Admission) -> None:
        """End a hold without a charge: nothing was delivered."""
        await self._end(admission, None)

    async def _end(self, admission: Admission, usage: Usage | None) -> Receipt | None:
        """End a hold in a task that nobody can cancel; a database that is away is tried again until it expires."""
        task = self.in_background(self._end_surely(Settlement(admission.id, usage)))
        try:
            settled = await asyncio.wait_for(asyncio.shield(task), timeout=15)
        except TimeoutError:
            logger.error("hold %s is not settled yet; the answer goes out before it", admission.id)
            return None
        return settled.receipt

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that nobody can cancel and that ``close`` waits for."""
        task = asyncio.ensure_future(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    def _note_use(self, key_id: UUID | None, at: datetime) -> None:
        """Let people see that a key is in use: once a minute, beside the call and without a part in its fate."""
        last = self._uses.get(key_id) if key_id else at
        if key_id and (last is None or at - last >= keys.USE_NOTED_EVERY):
            self._uses[key_id] = at
            self.in_background(self._touch(key_id, at))

    async def _touch(self, key_id: UUID, at: datetime) -> None:
        try:
            await self.read(partial(keys.touch, key_id, at=at))
        except DatabaseAway:
            logger.info("the use of key %s could not be noted", key_id)

    async def _release_if_held(self, hold_id: UUID) -> None:
        """Release a hold that may or may not have been committed.

        A release that shares the transaction of its hold comes before it there and finds nothing; the second one
        comes in a later transaction.
        """
        for _ in range(2):
            if (await self._end_surely(Settlement(hold_id, None))).has_ended:
                return

    async def _end_surely(self, settlement: Settlement) -> Settled:
        pause_s = 0.05
        while True:
            try:
                answer = await self.group.submit(Settle(settlement))
            except Unavailable:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5)
            else:
                assert isinstance(answer, Settled)
                return answer


def _asked(question: Callable[[], T]) -> T:
    try:
        return question()
    except (OperationalError, InterfaceError) as error:
        raise DatabaseAway from error
    finally:
        # Back to the pool: threads that look things up now and then must not keep connections.
        connection.close()
