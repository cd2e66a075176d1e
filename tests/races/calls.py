"""What each process of a race does with calls: through the gateway's own group commit, with a clock that stands."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.ids import uuid7
from marketplace.gateway import books
from marketplace.gateway.books import Answer, Entry, Report, Reserve, Settle
from marketplace.gateway.group_commit import GroupCommit
from metering.attribution import Dimensions
from metering.ingest import Usage, draft_at
from metering.ratecards import price_book
from metering.rating import Quantities
from quotas import admission, holds
from quotas.admission import Admitted, Estimate, HoldRequest, Refused, Settlement

# llm-8b costs 0.20 per million input tokens: 5,000 of them are 0.001.
TOKENS = 5_000
COST = Decimal("0.001")
CALLERS = 64
MODELS = {"small": "llm-8b", "large": "llm-70b"}
Group = GroupCommit[Entry, Answer]


@dataclass
class Tally:
    """What the callers of one process were told."""

    admitted: list[UUID] = field(default_factory=list)
    refused: int = 0
    phantom: list[str] = field(default_factory=list)
    ended: int = 0
    reported: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def take(self, answer: Admitted | Refused) -> bool:
        """Count an answer; a refusal must tell of a limit that has no room for what was asked."""
        if isinstance(answer, Admitted):
            self.admitted.append(answer.hold_id)
            return True
        self.refused += 1
        standing = answer.standing
        if not standing.limit.is_hard or standing.used + answer.asked <= standing.limit.value:
            self.phantom.append(f"{standing} asked {answer.asked}")
        return False


@dataclass
class Caller:
    """One of many callers of a process: who calls, through which group, at which time."""

    group: Group
    epoch: int
    who: Dimensions
    at: datetime
    tally: Tally
    dice: random.Random

    def usage(self, event_id: str, *, tokens: int = TOKENS) -> Usage:
        return Usage(event_id, self.at, self.who, "llm-8b", Quantities(input_tokens=tokens))

    async def reserve(self, *, tokens: int = TOKENS, cost: Decimal = COST) -> UUID | None:
        """Ask for a hold; give its id, or None when it was refused."""
        hold_id = uuid7()
        request = HoldRequest(
            hold_id, self.usage(str(hold_id)), Estimate(tokens, cost), self.at + timedelta(minutes=5)
        )
        answer = await self.group.submit(Reserve(request, self.epoch))
        assert isinstance(answer, Admitted | Refused), answer
        return hold_id if self.tally.take(answer) else None

    async def settle(self, hold_id: UUID, usage: Usage | None) -> None:
        """End a hold."""
        answer = await self.group.submit(Settle(Settlement(hold_id, usage)))
        assert isinstance(answer, admission.Settled)
        self.tally.ended += answer.has_ended

    async def report(self, event_ids: list[str]) -> None:
        """Report usage under given ids."""
        usages = [self.usage(each) for each in event_ids]
        receipts = await self.group.submit(Report(draft_at(usages, {DIRECTORY: self.epoch})))
        assert isinstance(receipts, list)
        self.tally.reported += [
            (self.who.app_id, receipt.event_id) for receipt in receipts if receipt.status == "accepted"
        ]


Behavior = Callable[[Caller], Coroutine[Any, Any, None]]


def use_up(*, whos: list[Dimensions], tries: int, at: datetime, seed: int) -> Tally:
    """Call until every caller has tried so often; each admitted call uses exactly what it held."""

    async def behave(caller: Caller) -> None:
        for _ in range(tries):
            hold_id = await caller.reserve()
            if hold_id is not None:
                await caller.settle(hold_id, caller.usage(str(hold_id)))

    return let_them_call(whos, behave, at=at, seed=seed)


def use_up_classes(*, whos: list[Dimensions], tries: int, at: datetime, seed: int) -> Tally:
    """Call with a choice: a large model if there is room, else a small one; each uses what it held of its class."""

    async def behave(caller: Caller) -> None:
        for _ in range(tries):
            hold_id = uuid7()
            options = [Estimate(TOKENS, COST, (each,), MODELS[each]) for each in ("large", "small")]
            request = HoldRequest(
                hold_id, caller.usage(str(hold_id)), options[0], at + timedelta(minutes=5), tuple(options[1:])
            )
            answer = await caller.group.submit(Reserve(request, caller.epoch))
            assert isinstance(answer, Admitted | Refused), answer
            if caller.tally.take(answer):
                assert isinstance(answer, Admitted)
                model = options[answer.choice].model
                await caller.settle(hold_id, replace(caller.usage(str(hold_id)), model=model))

    return let_them_call(whos, behave, at=at, seed=seed)


def fail(*, whos: list[Dimensions], tries: int, at: datetime, seed: int) -> Tally:
    """Call and fail: every hold is released, so no usage is booked that would put the transactions in a row."""

    async def behave(caller: Caller) -> None:
        for _ in range(tries):
            hold_id = await caller.reserve()
            if hold_id is not None:
                await caller.settle(hold_id, None)

    return let_them_call(whos, behave, at=at, seed=seed)


def live(*, whos: list[Dimensions], tries: int, at: datetime, seed: int) -> Tally:
    """Do everything that callers do: use less or more than held, fail, end twice, die, report usage."""

    async def behave(caller: Caller) -> None:
        for number in range(tries):
            await _one_call(caller)
            if number % 2:
                await caller.report([f"report-{caller.dice.randrange(300)}" for _ in range(3)])

    return let_them_call(whos, behave, at=at, seed=seed)


async def _one_call(caller: Caller) -> None:
    hold_id = await caller.reserve(tokens=2 * TOKENS, cost=2 * COST)
    if hold_id is None:
        return
    used = caller.usage(str(hold_id), tokens=caller.dice.choice([TOKENS, 2 * TOKENS, 3 * TOKENS]))
    match caller.dice.randrange(6):
        case 0:
            await caller.settle(hold_id, None)
        case 1:
            await asyncio.gather(caller.settle(hold_id, used), caller.settle(hold_id, used))
        case 2:
            pass  # its process died; the sweeper finds it
        case _:
            await caller.settle(hold_id, used)


def let_them_call(
    whos: list[Dimensions], behave: Behavior, *, at: datetime, seed: int, callers: int = CALLERS
) -> Tally:
    tally = Tally()
    epochs = read_epochs()
    price_book.at(epochs)
    epoch = epochs.get(DIRECTORY, 0)
    with patch.object(books, "now", lambda: at):
        asyncio.run(_gather(whos, behave, tally, epoch=epoch, at=at, seed=seed, count=callers))
    return tally


async def _gather(
    whos: list[Dimensions], behave: Behavior, tally: Tally, *, epoch: int, at: datetime, seed: int, count: int
) -> None:
    group: Group = GroupCommit(books.commit, end=books.end)
    dice = random.Random(seed)
    callers = [
        Caller(group, epoch, dice.choice(whos), at, tally, random.Random(seed * 1000 + number))
        for number in range(count)
    ]
    try:
        results = await asyncio.gather(*map(behave, callers), return_exceptions=True)
    finally:
        await group.close()
    tally.errors += [f"{error!r} {error.__cause__!r}" for error in results if error is not None]


def settle_all(*, hold_ids: list[UUID], whos: dict[UUID, Dimensions], at: datetime) -> int:
    """End given holds, in the given order, in one transaction; give how many this process has ended."""
    settlements = [
        Settlement(each, Usage(str(each), at, whos[each], "llm-8b", Quantities(input_tokens=TOKENS)))
        for each in hold_ids
    ]
    return sum(settled.has_ended for settled in admission.settle(settlements, at=at))


def sweep(*, at: datetime) -> int:
    """Book what expired."""
    return holds.sweep(at=at)


def count_deadlocks() -> int:
    """Return how many deadlocks PostgreSQL has broken in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
