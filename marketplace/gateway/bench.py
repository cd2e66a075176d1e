"""Runs a bench: a version's examples over several models, through the real pipeline, in its team's sandbox."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from django.conf import settings
from django.utils import timezone

from marketplace.catalog import benches, subscriptions
from marketplace.catalog.bench_models import BenchRun
from marketplace.catalog.models import App, Subscription, Version
from marketplace.core import epochs
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.models import Job
from marketplace.core.money import exact
from marketplace.gateway import app_runs, background
from marketplace.gateway.directory import Caller, app_facts, caller_of_id
from marketplace.gateway.offers import offer_book
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.router import choose, dearest
from marketplace.gateway.smoke import Made, Stopped, call_once
from metering.rating import from_atto

AT_ONCE = 4


def most_cost(version: Version, models: Sequence[str], *, at: datetime) -> Decimal:
    """Say what a bench may cost at most: every answer as long as the app allows, at the dearest offer.

    An app that runs elsewhere is taken at what it declares. Raises InvalidInput for a prompt that cannot be filled
    and what the router raises for a model that nobody offers.
    """
    cases = benches.cases_of(version)
    if version.app.kind == App.Kind.HTTP:
        with exact():
            return (version.declared_cost_per_call or Decimal(0)) * len(cases)
    book = offer_book.at(epochs.read_epochs())
    facts, total = app_facts(version.app, version), 0
    for model in models:
        for case in cases:
            need = app_runs.request_for(replace(facts, allowed_models=(model,)), case["input"]).need
            route = choose(need, allowed=(model,), offers=book.offers(at=at), known=book.known)
            total += dearest(route, need)
    return from_atto(total)


def sandbox_of(version: Version, *, at: datetime) -> Subscription:
    """Return the sandbox that pays for benches of a version: that of the team that owns it."""
    app = version.app
    return subscriptions.sandbox_for(
        app,
        team=app.owner_team,
        by=version.submitted_by or app.created_by,
        at=at,
        credit=settings.SANDBOX_CREDIT,
    )


def run(*, job: Job, bench_run_id: str) -> dict[str, int]:
    """Make the calls of a bench that are still missing, then have them judged. Safe to run again."""
    found = BenchRun.objects.select_related("version__app__owner_team__organization")
    bench = found.filter(pk=bench_run_id).first()
    if bench is None:
        raise NotFound("bench", bench_run_id)
    if bench.ended_at is not None:
        return {"results": bench.results.count()}
    stopped_because = _call_all(bench)
    benches.finish(bench, stopped_because=stopped_because, at=timezone.now())
    return {"results": bench.results.count()}


def _call_all(bench: BenchRun) -> str:
    """Make the calls, a few at once; returns why it could not go on, empty when it did."""
    sandbox = sandbox_of(bench.version, at=timezone.now())
    waiting = benches.missing(bench)
    while waiting:
        some, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        answers = background.call(partial(_call_some, bench=bench, sandbox=sandbox, calls=some))
        for (model, case), answer in zip(some, answers, strict=True):
            if isinstance(answer, Stopped):
                return answer.reason
            benches.note(bench, model=model, case=case, call=answer)
    return ""


async def _call_some(
    gateway: Gateway, *, bench: BenchRun, sandbox: Subscription, calls: Sequence[tuple[str, int]]
) -> list[Made]:
    return await asyncio.gather(
        *(
            call_once(
                gateway,
                partial(_caller, sandbox, bench.version, model),
                bench.cases[case]["input"],
                example=case,
                currency=bench.currency,
            )
            for model, case in calls
        )
    )


def _caller(sandbox: Subscription, version: Version, model: str) -> Caller:
    """Return the sandbox as a caller of a version that may use one model only."""
    caller = caller_of_id(sandbox.pk, version=version)
    return replace(caller, app=replace(caller.app, allowed_models=(model,))) if model else caller


def why_not(version: Version) -> str:
    """Say why a version cannot be benched yet; empty when it can."""
    try:
        app_runs.validate_input(version.input_schema, version.example_input)
    except InvalidInput as error:
        return f"Its example input does not fit: {error.message}."
    if version.app.kind == App.Kind.HTTP and not version.endpoint_url:
        return "It has no endpoint yet."
    if version.app.kind == App.Kind.HOSTED and not version.prompt_template.strip():
        return "It has no prompt yet."
    return ""
