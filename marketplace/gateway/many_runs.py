"""Several inputs of an app in one request: each a run of its own, bought together where that can be done."""

import asyncio
from collections.abc import Sequence
from typing import Any

from marketplace.core.errors import HalfpennyError
from marketplace.core.money import exact, to_text
from marketplace.gateway import app_runs, books, failures
from marketplace.gateway.app_runs import AppRun
from marketplace.gateway.directory import AppFacts
from marketplace.gateway.http import raw_json
from marketplace.gateway.idempotency import Kept
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.requests import InvalidRequest

MOST_INPUTS = 50


def check(inputs: Any, *, app: AppFacts) -> list[Any]:
    """Return the inputs of a request; raises InvalidRequest."""
    if not app.saving.is_batchable:
        raise InvalidRequest("inputs", "This app takes one input at a time, as `input`.")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MOST_INPUTS:
        raise InvalidRequest("inputs", f"A list of 1 to {MOST_INPUTS} inputs.", limit=MOST_INPUTS)
    return inputs


async def run(
    gateway: Gateway, find: Any, inputs: Sequence[Any], feature: str, *, intent: str, no_store: bool
) -> Kept:
    """Run each input; one that fails says so in its place. Only when all fail alike, the request does."""
    runs = await asyncio.gather(
        *(
            app_runs.run(gateway, find, data=data, feature=feature, intent=intent, no_store=no_store)
            for data in inputs
        ),
        return_exceptions=True,
    )
    for one in runs:
        if isinstance(one, BaseException) and not isinstance(one, HalfpennyError):
            raise one
    done = [one for one in runs if isinstance(one, AppRun)]
    if not done:
        raise next(one for one in runs if isinstance(one, BaseException))
    with exact():
        cost = sum((one.served.cost for one in done[1:]), done[0].served.cost)
    last = done[-1].served.admission
    headers = {"x-halfpenny-cost": to_text(cost), **last.caller.ending_headers}
    headers |= rate_limit_headers(last.standings, at=books.now())
    return Kept(200, raw_json({"results": [_told(one) for one in runs], "cost": to_text(cost)}), headers)


def _told(one: AppRun | BaseException) -> dict[str, Any]:
    if isinstance(one, AppRun):
        return app_runs.answer_of(one)
    assert isinstance(one, HalfpennyError)
    return {"error": failures.problem_body(one)}
