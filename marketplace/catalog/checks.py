"""The state of a smoke test. The gateway claims it, makes the calls through the real pipeline, and reports here."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from marketplace.catalog import check_runs, gate, plans, scanning
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.judging import (
    FAILED,
    WARNED,
    Measured,
    SmokeCall,
    Verdict,
    judge,
    judge_margin,
    measure,
)
from marketplace.catalog.models import SmokeRun, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.projections import Projection, project
from marketplace.catalog.scans.findings import Found, Report
from marketplace.catalog.scans.running import ToolFailed
from marketplace.core.errors import Conflict, NotFound
from marketplace.core.models import Job
from marketplace.core.transitions import move

__all__ = ["CheckEnded", "SmokeCall", "finish", "give_up", "is_given_up", "job_key", "progress", "start"]

MAX_SAMPLE_CHARS = 4_000
STORED = Decimal("1E-18")


class CheckEnded(Conflict):
    """The check was decided already; whoever still works on it can stop."""

    code = "check_ended"

    def __init__(self, run: SmokeRun) -> None:
        self.run = run
        super().__init__(f"This check has ended: {run.get_state_display()}.")


def start(smoke_run_id: UUID | str, *, at: datetime) -> SmokeRun:
    """Claim a queued smoke test and return it with its version and app.

    A running one is returned as it is: the lease of its job says that whoever ran it died. Raises CheckEnded.
    """
    run = (
        SmokeRun.objects.select_related("version__app__owner_team__organization", "version__plan")
        .filter(pk=smoke_run_id)
        .first()
    )
    if run is None:
        raise NotFound("check", smoke_run_id)
    if run.state == SmokeRun.State.QUEUED:
        changes = {"started_at": at}
        move(
            run,
            SmokeRun.TRANSITIONS,
            to=SmokeRun.State.RUNNING,
            action="catalog.check.started",
            at=at,
            changes=changes,
        )
    if run.state != SmokeRun.State.RUNNING:
        raise CheckEnded(run)
    return run


def progress(smoke_run: SmokeRun, *, done_calls: int, failed_calls: int) -> bool:
    """Show how far a running smoke test is; False when it is no longer running and the calls can stop."""
    return bool(
        SmokeRun.objects.filter(pk=smoke_run.pk, state=SmokeRun.State.RUNNING).update(
            done_calls=done_calls, failed_calls=failed_calls
        )
    )


def is_given_up(smoke_run: SmokeRun) -> bool:
    """Tell whether nobody works on an unfinished smoke test any more: its job failed too often or was canceled."""
    if smoke_run.state not in (SmokeRun.State.QUEUED, SmokeRun.State.RUNNING):
        return False
    ended = [Job.State.FAILED, Job.State.CANCELED]
    return Job.objects.filter(idempotency_key=job_key(smoke_run), state__in=ended).exists()


def give_up(smoke_run: SmokeRun, *, at: datetime) -> None:
    """End a smoke test that nobody works on as could_not_check, so that another can follow."""
    finding = (
        "The check was given up after several tries. Run it again; if it happens once more, tell an operator."
    )
    move(
        smoke_run,
        SmokeRun.TRANSITIONS,
        to=SmokeRun.State.COULD_NOT_CHECK,
        action="catalog.check.could_not_check",
        at=at,
        reason=finding,
        changes={"finding": finding, "ended_at": at},
    )


def job_key(smoke_run: SmokeRun) -> str:
    """Return the idempotency key of the job that runs a smoke test."""
    return f"smoke:{smoke_run.pk}"


def finish(
    smoke_run: SmokeRun,
    results: Sequence[SmokeCall],
    *,
    at: datetime,
    revenue_share: Decimal,
    stopped_because: str = "",
) -> Verdict:
    """Judge a running smoke test, and what is read from its calls: expected answers and margin.

    The version moves on when no other check of it is under way (``gate.settle``). ``stopped_because`` (a sentence:
    credit used up, no provider, withdrawn) makes it could_not_check. ``revenue_share`` is the platform's share when
    no agreement says otherwise. Raises IllegalTransition when the run has ended before.
    """
    version = _version_of(Version.objects.all(), smoke_run)
    # Strangers' patterns and schemas meet the answers in a process of its own, and before anything is locked.
    answers = _judge_answers(version, results, stopped_because)
    return _finish(smoke_run, results, answers, at=at, share=revenue_share, stopped_because=stopped_because)


@transaction.atomic
def _finish(
    smoke_run: SmokeRun,
    results: Sequence[SmokeCall],
    answers: Report | str,
    *,
    at: datetime,
    share: Decimal,
    stopped_because: str,
) -> Verdict:
    # The order of rows everywhere is version, then run: a withdrawal at this moment waits or has won.
    version = _version_of(Version.objects.select_for_update(of=("self",)), smoke_run)
    measured = measure(results)
    verdict = judge(
        measured,
        declared_cost=version.declared_cost_per_call,
        slo_latency_ms=version.slo_latency_ms,
        currency=smoke_run.currency,
        stopped_because=stopped_because,
    )
    move(
        smoke_run,
        SmokeRun.TRANSITIONS,
        to=verdict.state,
        action=f"catalog.check.{verdict.state}",
        at=at,
        reason=_storable(" ".join(verdict.findings)),
        changes=_columns(measured, verdict) | {"ended_at": at},
    )
    projection = _projection(version, measured, smoke_run.currency, share)
    margin = stopped_because or _judge_margin(projection)
    waiting = check_runs.waiting_for_calls(version, at=at)
    for name, report in (("behavior", answers), ("sustainability", margin)):
        if name in waiting:
            _end(waiting[name], report, at=at)
    gate.settle(version, cause=smoke_run.pk, at=at)
    return verdict


def _version_of(versions: QuerySet[Version], smoke_run: SmokeRun) -> Version:
    related = versions.select_related("app__owner_team__organization", "plan", "submitted_by")
    return related.get(pk=smoke_run.version_id)


def _end(run: CheckRun, report: Report | str, *, at: datetime) -> None:
    """End a check that read the calls; a text says why it could not."""
    if isinstance(report, str):
        check_runs.keep_reason(run, report, at=at)
    else:
        check_runs.keep_found(run, report, at=at, rules_hash=scanning.rules_hash(run.name))


def _judge_answers(version: Version, results: Sequence[SmokeCall], stopped_because: str) -> Report | str:
    if stopped_because or not version.examples:
        return stopped_because or "There are no examples with expectations."
    try:
        return scanning.judge_answers(version, results)
    except ToolFailed as error:
        return error.message


def _judge_margin(projection: Projection | None) -> Report | str:
    if projection is None:
        return "No call succeeded, so nothing is known of its cost."
    state, words = judge_margin(projection)
    facts = {"projection": projection.as_json(), "says": words}
    rule = {FAILED: ("margin.negative", "high"), WARNED: ("margin.thin", "medium")}.get(state)
    found = (Found(*rule, "plan", words),) if rule else ()
    return Report(found, "own rules", facts)


def _projection(
    version: Version, measured: Measured, currency: str, revenue_share: Decimal
) -> Projection | None:
    plan = plans.plan_of(version)
    if plan is None or measured.cost is None:
        return None
    return project(
        terms_of(plan),
        monthly_calls=version.expected_monthly_calls,
        cost_per_call=measured.cost,
        share=revenue_share,
        currency=currency,
    )


def _columns(measured: Measured, verdict: Verdict) -> dict[str, Any]:
    cost = measured.cost
    return {
        "done_calls": measured.calls,
        "failed_calls": measured.failed,
        "mean_cost": _stored(cost.mean) if cost else None,
        "low_cost": _stored(cost.low) if cost else None,
        "high_cost": _stored(cost.high) if cost else None,
        "max_cost": _stored(measured.max_cost) if measured.max_cost is not None else None,
        "mean_input_tokens": measured.mean_input_tokens,
        "mean_output_tokens": measured.mean_output_tokens,
        "p50_latency_ms": measured.p50_latency_ms,
        "p95_latency_ms": measured.p95_latency_ms,
        "sample_output": _storable(measured.sample_output)[:MAX_SAMPLE_CHARS],
        "finding": _storable("\n".join(verdict.findings)),
    }


def _storable(text: str) -> str:
    """Drop what PostgreSQL does not store: an answer of a stranger's service may hold NUL."""
    return text.replace("\x00", "")


def _stored(amount: Decimal) -> Decimal:
    """Fit an amount to its column: a mean of seven calls has no last digit."""
    return amount.quantize(STORED)
