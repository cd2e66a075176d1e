"""The cost smoke test: calls a submitted version for real, in the sandbox, and reports what a call costs.

It runs in a jail: a call is admitted only within the sandbox credit, and the test ends when its time is over. Each
call is a row before it is sent (``catalog.smoke_calls``), with the id that its hold and its event get: a worker that
takes over counts what was paid for already, and sends nothing twice.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from marketplace.catalog import checks, smoke_calls, subscriptions
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import SmokeRun, Subscription, Version
from marketplace.catalog.smoke_models import SmokeTestCall
from marketplace.core.errors import HalfpennyError, Unavailable
from marketplace.core.models import Job
from marketplace.core.transitions import IllegalTransition
from marketplace.gateway import app_runs, background
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.directory import Caller, caller_of_id
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.pipeline import Gateway, Moving
from marketplace.gateway.providers.base import (
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderUnavailable,
)
from marketplace.gateway.retrieval.finding import StillIndexing
from marketplace.gateway.router import NoRoute
from marketplace.gateway.smoke_recovery import recover

AT_ONCE = 4
# So many calls in a row without one answer say enough.
HOPELESS_AFTER = AT_ONCE * 2
# Failures of what lies between us and the model, which no maker can mend.
AWAY = (NoRoute, Moving, ProviderRateLimited, ProviderMisconfigured)
OUT_OF_CREDIT = "The sandbox credit of the team is used up; it renews next month."


@dataclass(frozen=True)
class Stopped:
    """Why a test cannot go on: a sentence for its maker. ``is_short``: for what the other calls hold at this moment."""

    reason: str
    is_short: bool = False


Made = SmokeCall | Stopped


def run(*, job: Job, smoke_run_id: str) -> dict[str, str]:
    """Make the calls of one smoke test through the real pipeline and hand the results to the catalogue.

    Safe to run again: it goes on where the last attempt ended. A surprise that comes back on the last attempt ends
    the test as could_not_check.
    """
    try:
        smoke_run = checks.start(smoke_run_id, at=timezone.now(), attempt=job.attempts)
    except checks.CheckEnded as error:
        return {"state": error.run.state}
    try:
        stopped = _call_all(smoke_run)
    except Unavailable as error:
        if job.attempts < job.max_attempts:
            raise
        stopped = Stopped(error.message)
    return _finish(smoke_run, stopped)


def _finish(smoke_run: SmokeRun, stopped: Stopped | None) -> dict[str, str]:
    """Judge what was called, unless the test was canceled or withdrawn meanwhile, or another worker took it over."""
    attempt = smoke_run.attempt
    smoke_run.refresh_from_db(fields=["state", "attempt"])
    if smoke_run.state != SmokeRun.State.RUNNING or smoke_run.attempt != attempt:
        return {"state": smoke_run.state}
    reason = stopped.reason if stopped else ""
    made = smoke_calls.results(smoke_run)
    try:
        return {"state": checks.finish(smoke_run, made, at=timezone.now(), stopped_because=reason).state}
    except IllegalTransition as error:
        return {"state": error.current}


def _call_all(smoke_run: SmokeRun) -> Stopped | None:
    """Make the calls that are missing, a few at once; returns why when it could not make them all."""
    recover(smoke_run, at=timezone.now())
    sandbox = _sandbox(smoke_run.version)
    ends_at, at_once = monotonic() + settings.SMOKE_SECONDS, AT_ONCE
    while True:
        batch = smoke_calls.begin(smoke_run, attempt=smoke_run.attempt, most=at_once, at=timezone.now())
        if not batch:
            return None
        left_s = ends_at - monotonic()
        answers = background.call(partial(_call_some, smoke_run.version, sandbox.pk, batch, left_s))
        stopped = _keep(smoke_run, batch, answers)
        if stopped and stopped.is_short and at_once > 1:
            # Each call holds the most that it may cost: what is left may do for one at a time.
            at_once = 1
        elif stopped or _is_hopeless(smoke_run):
            return stopped


def _sandbox(version: Version) -> Subscription:
    """Return the sandbox of the owning team: whatever is called is charged to its credit and to nobody else."""
    return subscriptions.sandbox_for(
        version.app,
        team=version.app.owner_team,
        by=version.submitted_by or version.app.created_by,
        at=timezone.now(),
        credit=settings.SANDBOX_CREDIT,
    )


def _keep(smoke_run: SmokeRun, batch: Sequence[SmokeTestCall], answers: Sequence[Made]) -> Stopped | None:
    """Write what came of some calls and show how far the test is; returns the first reason not to go on."""
    for call, answer in zip(batch, answers, strict=True):
        if isinstance(answer, Stopped):
            smoke_calls.lose(call, answer.reason, at=timezone.now())
        else:
            smoke_calls.end(call, answer, at=timezone.now())
    done, failed = smoke_calls.outcome(smoke_calls.results(smoke_run))
    checks.progress(smoke_run, done_calls=done, failed_calls=failed)
    return next((answer for answer in answers if isinstance(answer, Stopped)), None)


def _is_hopeless(smoke_run: SmokeRun) -> bool:
    done, failed = smoke_calls.outcome(smoke_calls.results(smoke_run))
    return done == failed >= HOPELESS_AFTER


async def _call_some(
    version: Version, sandbox_id: UUID, batch: Sequence[SmokeTestCall], left_s: float, gateway: Gateway
) -> list[Made]:
    return await asyncio.gather(*(_in_time(version, sandbox_id, call, left_s, gateway) for call in batch))


async def _in_time(
    version: Version, sandbox_id: UUID, call: SmokeTestCall, left_s: float, gateway: Gateway
) -> Made:
    """Make one call unless the time of the test is over; one that is cut off is released like any other."""
    try:
        async with asyncio.timeout(left_s):
            return await _call_once(version, sandbox_id, call, gateway)
    except TimeoutError:
        return Stopped(f"Its time of {settings.SMOKE_SECONDS} s is over before all calls were answered.")


async def _call_once(version: Version, sandbox_id: UUID, call: SmokeTestCall, gateway: Gateway) -> Made:
    find = partial(caller_of_id, sandbox_id, version=version)
    data = version.example_input if call.example is None else version.examples[call.example]["input"]
    return await call_once(
        gateway, find, data, example=call.example, currency=call.run.currency, call_id=call.pk
    )


async def call_once(
    gateway: Gateway,
    find: Callable[[], Caller],
    data: object,
    *,
    example: int | None,
    currency: str,
    call_id: UUID | None = None,
) -> Made:
    """Make one call and say what it brought, or why there is no use in making more."""
    started = perf_counter()
    try:
        answer = await app_runs.run(gateway, lambda: gateway.read(find), data=data, call_id=call_id)
    except LimitReached as error:
        is_credit = error.standing.limit.owner[0] == "subscription" and error.standing.limit.measure == "cost"
        return Stopped(OUT_OF_CREDIT if is_credit else error.message, is_short=True)
    except (DatabaseAway, StillIndexing):
        raise
    except HalfpennyError as error:
        return _failed(example, error, latency_ms=_ms_since(started))
    return _answered(example, answer, currency=currency, latency_ms=_ms_since(started))


def _failed(example: int | None, error: HalfpennyError, *, latency_ms: int) -> SmokeCall:
    return SmokeCall(
        error=error.message, latency_ms=latency_ms, example=example, is_provider_away=is_away(error)
    )


def is_away(error: HalfpennyError) -> bool:
    """Tell whether a call failed because no provider was there, and not because of what the app sent."""
    if isinstance(error, ProviderUnavailable):
        return error.provider_status is None
    return isinstance(error, AWAY)


def _answered(example: int | None, answer: app_runs.AppRun, *, currency: str, latency_ms: int) -> Made:
    served = answer.served
    if served.currency and served.currency != currency:
        return Stopped(f"Calls cost {served.currency}, but the app is sold in {currency}.")
    used = served.usage
    return SmokeCall(
        cost=served.cost,
        input_tokens=used.input_tokens,
        cached_input_tokens=used.cached_input_tokens,
        cache_write_tokens=used.cache_write_tokens,
        output_tokens=used.output_tokens,
        reasoning_tokens=used.reasoning_tokens,
        latency_ms=latency_ms,
        # What is not what the app promises its callers is no answer to count on.
        error=f"The answer does not fit: {answer.problems[0]}" if answer.problems else "",
        output=answer.output if isinstance(answer.output, str) else json.dumps(answer.output, default=str),
        example=example,
        model=served.model,
    )


def _ms_since(started: float) -> int:
    return int((perf_counter() - started) * 1000)
