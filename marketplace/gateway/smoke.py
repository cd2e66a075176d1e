"""The cost smoke test: calls a submitted version for real, in the sandbox, and reports what a call costs."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from django.conf import settings
from django.utils import timezone

from marketplace.catalog import checks, subscriptions
from marketplace.catalog.checks import SmokeCall
from marketplace.catalog.models import SmokeRun, Version
from marketplace.core.errors import HalfpennyError
from marketplace.core.models import Job
from marketplace.gateway import app_runs, background
from marketplace.gateway.directory import Caller, caller_of_id
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.pipeline import Gateway

AT_ONCE = 4


def run(*, job: Job, smoke_run_id: str) -> dict[str, str]:
    """Make the calls of one smoke test through the real pipeline and hand the results to the catalogue.

    Safe to run again: a run that was interrupted makes its calls anew, each under its own hold and in the sandbox.
    """
    try:
        smoke_run = checks.start(smoke_run_id, at=timezone.now())
    except checks.CheckEnded as error:
        return {"state": error.run.state}
    results, stopped_because = _call_all(smoke_run)
    verdict = checks.finish(
        smoke_run,
        results,
        at=timezone.now(),
        revenue_share=settings.DEFAULT_REVENUE_SHARE,
        stopped_because=stopped_because,
    )
    return {"state": verdict.state}


def _call_all(smoke_run: SmokeRun) -> tuple[list[SmokeCall], str]:
    """Make the planned calls, a few at once; returns results and, when it could not go on, why."""
    version = smoke_run.version
    sandbox = subscriptions.sandbox_for(
        version.app,
        team=version.app.owner_team,
        by=version.submitted_by or version.app.created_by,
        at=timezone.now(),
        credit=settings.SANDBOX_CREDIT,
    )
    results: list[SmokeCall] = []
    while len(results) < smoke_run.planned_calls:
        batch = min(AT_ONCE, smoke_run.planned_calls - len(results))
        find = partial(caller_of_id, sandbox.pk, version=version)
        inputs = [_input(version, number) for number in range(len(results), len(results) + batch)]
        answers = background.call(partial(_call_some, find=find, inputs=inputs))
        for answer in answers:
            if isinstance(answer, LimitReached):
                return results, "The sandbox credit of the team is used up; it renews next month."
            results.append(answer)
        failed = sum(1 for result in results if result.error)
        if not checks.progress(smoke_run, done_calls=len(results), failed_calls=failed):
            return results, "The version was withdrawn."
        if failed == len(results) >= AT_ONCE * 2:
            break
    return results, ""


def _input(version: Version, number: int) -> tuple[int | None, object]:
    """Take the example input and the maker's examples in turn; returns which example, and its input."""
    turn = number % (1 + len(version.examples))
    return (turn - 1, version.examples[turn - 1]["input"]) if turn else (None, version.example_input)


async def _call_some(
    gateway: Gateway, *, find: Callable[[], Caller], inputs: Sequence[tuple[int | None, object]]
) -> list[SmokeCall | LimitReached]:
    return await asyncio.gather(*(call_once(gateway, find, example, data) for example, data in inputs))


async def call_once(
    gateway: Gateway, find: Callable[[], Caller], example: int | None, data: object
) -> SmokeCall | LimitReached:
    """Make one call and say what it brought; one that was refused for lack of credit comes back as it is."""
    started = perf_counter()
    try:
        answer = await app_runs.run(gateway, lambda: gateway.read(find), data=data)
    except LimitReached as error:
        return error
    except HalfpennyError as error:
        return SmokeCall(error=error.message, latency_ms=_ms_since(started), example=example)
    # What is not what the app promises its callers is no answer to count on.
    broken = f"The answer does not fit: {answer.problems[0]}" if answer.problems else ""
    used = answer.served.usage
    return SmokeCall(
        cost=answer.served.cost,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        latency_ms=_ms_since(started),
        error=broken,
        output=answer.output if isinstance(answer.output, str) else json.dumps(answer.output, default=str),
        example=example,
    )


def _ms_since(started: float) -> int:
    return int((perf_counter() - started) * 1000)
