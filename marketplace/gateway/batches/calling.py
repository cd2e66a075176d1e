"""Calling the lines of a batch, some at once, through the same path as any call."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import msgspec

from marketplace.accounts.models import ApiKey
from marketplace.core.errors import HalfpennyError, NotAllowed, Unavailable
from marketplace.gateway import books, failures, kept_calls, requests
from marketplace.gateway.admitted import Served
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import lines, taking
from marketplace.gateway.batches.lines import Cost, Failure, LineLost
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.directory import AppPaused, Caller, SubscriptionEnded, caller_of_id
from marketplace.gateway.http import raw_json
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.pipeline import Gateway, Moving
from marketplace.gateway.providers.base import Completion, ProviderError, ProviderRefused
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import NoRoute

# A worker gives a batch back after so long, so that others get their turn.
TURN_S = 20.0
RENEW_EVERY_S = 15.0
MOST_ATTEMPTS = 5
# A limit that has room again within this is waited for; a batch that meets any other has ended.
PATIENCE = timedelta(hours=1)
LEAST_PAUSE = timedelta(seconds=30)
ONE_AT_A_TIME = "makes its calls one at a time, since a limit is nearly used up"
# Nothing was held or sent: what is missing is not the line's fault.
NOT_NOW = (AppPaused, NoRoute, Moving)


class KeyEnded(NotAllowed):
    """The key that made the batch was revoked or has expired."""

    code = "key_ended"

    def __init__(self) -> None:
        super().__init__("The key that made this batch was revoked or has expired.")


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no more lines are called."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Until when no lines are called, and why."""

    until: datetime
    reason: str


class Turn:
    """What one worker does with a batch while it has it. ``halt`` says why it does not go on, None when it does."""

    def __init__(self, batch: Batch, gateway: Gateway, *, at_once: int) -> None:
        self.batch = batch
        self.gateway = gateway
        self.at_once = at_once
        self.halt: Stop | Pause | None = None
        self._caller: Caller | None = None
        self._is_lost = False

    async def call_lines(self, *, seconds: float = TURN_S) -> None:
        """Call lines for a while; raises what makes the whole turn impossible, such as DatabaseAway."""
        until = monotonic() + seconds
        heartbeat = asyncio.ensure_future(self._stay())
        try:
            while monotonic() < until and self.halt is None and not self._is_lost:
                begin = partial(lines.begin, self.batch, most=self.at_once * 4, at=books.now())
                taken = await self.gateway.read(begin)
                if not taken:
                    return
                await self._call_all(taken)
                await self.gateway.read(partial(lines.count, self.batch))
        finally:
            heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat

    async def _stay(self) -> None:
        """Keep the batch while it is worked on; should another worker have it, nothing more is begun."""
        while not self._is_lost:
            await asyncio.sleep(RENEW_EVERY_S)
            with suppress(DatabaseAway):
                renew = partial(taking.renew, self.batch, at=books.now())
                self._is_lost = not await self.gateway.read(renew)

    async def _call_all(self, taken: Sequence[BatchLine]) -> None:
        waiting = iter(taken)

        async def one_after_the_other() -> None:
            for line in waiting:
                await self._call(line)

        # All of them end before one's failure is told: nobody works on a batch that was given back.
        callers = (one_after_the_other() for _ in range(self.at_once))
        for result in await asyncio.gather(*callers, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _call(self, line: BatchLine) -> None:
        if self.halt is not None or self._is_lost:
            await self.gateway.read(partial(lines.put_back, line, was_held=False))
            return
        try:
            served, _ = await self.gateway.complete(
                self._find,
                partial(self._ask, line),
                call_id=lines.call_id(line),
                keep=partial(self._keep, line),
            )
        except LineLost:
            return
        except DatabaseAway:
            raise
        except HalfpennyError as error:
            await self._failed(line, error)
        else:
            await self._answered(line, served)

    async def _find(self) -> Caller:
        """Return the batch's subscription as a caller, looked up again when the directory has changed."""
        if self._caller is None or self._caller.epoch != self.gateway.directory.epoch:
            self._caller = await self.gateway.read(partial(_caller_of, self.batch))
            self.gateway.directory.renew(self._caller.epoch)
        return self._caller

    def _ask(self, line: BatchLine, caller: Caller) -> ModelRequest:
        fields = requests.decode(bytes(line.body))
        if self.batch.endpoint == "/v1/embeddings":
            request = requests.embeddings(fields, feature=self.batch.feature)
        else:
            request = requests.chat(fields, app=caller.app, feature=self.batch.feature)
        return replace(request, is_batch=True)

    async def _keep(self, line: BatchLine, _: Any, model: str, completion: Completion) -> None:
        used = kept_calls.used_of(model, completion)
        await self.gateway.read(
            partial(lines.keep, line, body=completion.body, status=completion.status, used=used)
        )

    async def _answered(self, line: BatchLine, served: Served) -> None:
        if not served.currency:
            return  # its settlement is still being tried: the next turn finds the answer and what it came to
        await self.gateway.read(lambda: lines.end(line, _came_to(served), at=books.now()))

    async def _failed(self, line: BatchLine, error: HalfpennyError) -> None:
        halt = _halt_of(error)
        if isinstance(error, LimitReached) and isinstance(halt, Stop) and self.at_once > 1:
            # What the others hold is the most they may use: one at a time there may be room.
            halt = Pause(books.now(), ONE_AT_A_TIME)
        self.halt = self.halt or halt
        if _is_worth_another(error, line):
            was_held = isinstance(error, ProviderError | NoRoute)
            await self.gateway.read(partial(lines.put_back, line, was_held=was_held))
        else:
            await self.gateway.read(partial(lines.fail, line, _failure_of(error), at=books.now()))


def _caller_of(batch: Batch) -> Caller:
    key = ApiKey.objects.filter(pk=batch.key_id).first() if batch.key_id else None
    at = books.now()
    if key is not None and any(end is not None and end <= at for end in (key.revoked_at, key.expires_at)):
        raise KeyEnded
    caller = caller_of_id(batch.subscription_id, key_id=batch.key_id)
    caller.require_active()
    return caller


def _came_to(served: Served) -> Cost:
    used = served.usage
    listed = kept_calls.list_cost(served.model, used, at=served.admission.usage.occurred_at)
    return Cost(
        cost=served.cost,
        list_cost=served.cost if listed is None else listed,
        currency=served.currency,
        model=served.model,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
    )


def _halt_of(error: HalfpennyError) -> Stop | Pause | None:
    """Say what an error means for the lines that follow; None for one that is this line's alone."""
    at = books.now()
    if isinstance(error, SubscriptionEnded | KeyEnded):
        return Stop(error.code, error.message)
    if isinstance(error, LimitReached):
        is_short = error.standing.limit.measure == "concurrency" or error.standing.resets_at - at <= PATIENCE
        until = at + timedelta(seconds=error.retry_after_s)
        return (
            Pause(until, f"waits for room: {error.message}") if is_short else Stop(error.code, error.message)
        )
    if isinstance(error, NOT_NOW) or (isinstance(error, ProviderError) and _did_nothing(error)):
        assert isinstance(error, Unavailable)
        pause = max(timedelta(seconds=error.retry_after_s), LEAST_PAUSE)
        return Pause(at + pause, f"waits: {error.message}")
    return None


def _did_nothing(error: ProviderError) -> bool:
    return error.is_retryable and not error.was_maybe_charged


def _is_worth_another(error: HalfpennyError, line: BatchLine) -> bool:
    """Tell whether a line waits for another attempt: nothing was done, and it is not its own fault.

    That nobody offers a fitting model may be: that is tried a few times. What a stopped batch did not call is told as such.
    """
    if isinstance(error, ProviderError):
        return _did_nothing(error)
    if isinstance(error, NoRoute):
        return line.attempt < MOST_ATTEMPTS
    return isinstance(error, SubscriptionEnded | KeyEnded | LimitReached | AppPaused | Moving)


def _failure_of(error: HalfpennyError) -> Failure:
    """Say what the caller of a single call would have been told."""
    if isinstance(error, ProviderRefused) and _is_json(error.body):
        return Failure(error.code, error.message, error.status, error.body)
    body = raw_json(failures.openai_body(error))
    return Failure(error.code, error.message, failures.status_for(error), body)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.format(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
