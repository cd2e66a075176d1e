"""The state of a smoke test. The gateway claims it, makes the calls through the real pipeline, and reports here."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.catalog import check_runs, gate, scanning
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.judging import Measured, SmokeCall, Verdict, judge, measure
from marketplace.catalog.models import SmokeRun, Version
from marketplace.catalog.scans.findings import Report
from marketplace.catalog.scans.running import ToolFailed
from marketplace.core.errors import Conflict, NotFound
from marketplace.core.models import Job
from marketplace.core.transitions import move

__all__ = [
    "CheckEnded",
    "SmokeCall",
    "cancel",
    "end_withdrawn",
    "finish",
    "give_up",
    "is_given_up",
    "job_key",
    "progress",
    "start",
]

MAX_SAMPLE_CHARS = 4_000
STORED = Decimal("1E-18")


class CheckEnded(Conflict):
    """The check was decided already; whoever still works on it can stop."""

    code = "check_ended"

    def __init__(self, run: SmokeRun) -> None:
        self.run = run
        super().__init__(f"This check has ended: {run.get_state_display()}.")


def start(smoke_run_id: UUID | str, *, at: datetime, attempt: int = 1) -> SmokeRun:
    """Claim a queued smoke test and return it with its version and app.

    A running one is taken over by a later attempt of its job, whose lease says that whoever ran it died; the earlier
    one begins no more calls. Raises CheckEnded.
    """
    run = (
        SmokeRun.objects.select_related("version__app__owner_team__organization", "version__plan")
        .filter(pk=smoke_run_id)
        .first()
    )
    if run is None:
        raise NotFound("check", smoke_run_id)
    if run.state == SmokeRun.State.QUEUED:
        changes = {"started_at": at, "attempt": attempt}
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
    if run.attempt < attempt:
        SmokeRun.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)
        run.attempt = attempt
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
    _end_unfinished(smoke_run, finding, at=at)


@transaction.atomic
def cancel(smoke_run: SmokeRun, *, by: User, at: datetime) -> None:
    """End a smoke test that is under way, with the checks that wait for its calls; it can be run again.

    Calls that are on their way are settled in the sandbox, and no more are begun. Raises IllegalTransition when it
    has ended.
    """
    version = _version_of(Version.objects.select_for_update(of=("self",)), smoke_run)
    reason = f"Canceled by {by}."
    _end_unfinished(smoke_run, reason, at=at, by=by)
    for waiting in check_runs.waiting_for_calls(version, at=at).values():
        check_runs.keep_reason(waiting, reason, at=at, by=by)
    gate.settle(version, cause=smoke_run.pk, at=at)


def end_withdrawn(version: Version, *, by: User, at: datetime) -> None:
    """End the smoke test of a version that is taken back; its worker notices before the next calls."""
    for run in version.smoke_runs.filter(state__in=CheckRun.ACTIVE):
        _end_unfinished(run, "The version was withdrawn before its check ended.", at=at, by=by)


def _end_unfinished(smoke_run: SmokeRun, finding: str, *, at: datetime, by: User | None = None) -> None:
    move(
        smoke_run,
        SmokeRun.TRANSITIONS,
        to=SmokeRun.State.COULD_NOT_CHECK,
        action="catalog.check.could_not_check",
        at=at,
        by=by,
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
    stopped_because: str = "",
) -> Verdict:
    """Judge a running smoke test and the expected answers, and let billing judge the margin at the cost it found.

    The version moves on when no other check of it is under way (``gate.settle``). ``stopped_because`` (a sentence:
    credit used up, time over) makes it could_not_check. Raises IllegalTransition when the run has ended before.
    """
    version = _version_of(Version.objects.all(), smoke_run)
    # Strangers' patterns and schemas meet the answers in a process of its own, and before anything is locked.
    answers = _judge_answers(version, results, stopped_because)
    return _finish(smoke_run, results, answers, at=at, stopped_because=stopped_because)


@transaction.atomic
def _finish(
    smoke_run: SmokeRun,
    results: Sequence[SmokeCall],
    answers: Report | str,
    *,
    at: datetime,
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
    _end_waiting(version, measured, answers, at=at, stopped_because=stopped_because)
    gate.settle(version, cause=smoke_run.pk, at=at)
    return verdict


def _version_of(versions: QuerySet[Version], smoke_run: SmokeRun) -> Version:
    related = versions.select_related("app__owner_team__organization", "plan", "submitted_by")
    return related.get(pk=smoke_run.version_id)


def _end_waiting(
    version: Version, measured: Measured, answers: Report | str, *, at: datetime, stopped_because: str
) -> None:
    """End the checks that read the calls; a text says why one could not. Only billing knows what is left of a price."""
    waiting = check_runs.waiting_for_calls(version, at=at)
    if run := waiting.get(CheckRun.Name.BEHAVIOR):
        if isinstance(answers, str):
            check_runs.keep_reason(run, answers, at=at)
        else:
            check_runs.keep_found(run, answers, at=at, rules_hash=scanning.rules_hash(run.name))
    if run := waiting.get(CheckRun.Name.SUSTAINABILITY):
        if stopped_because or measured.cost is None:
            reason = stopped_because or "No call succeeded, so nothing is known of its cost."
            check_runs.keep_reason(run, reason, at=at)
        else:
            check_runs.ask_billing(run, at=at)


def _judge_answers(version: Version, results: Sequence[SmokeCall], stopped_because: str) -> Report | str:
    if stopped_because or not version.examples:
        return stopped_because or "There are no examples with expectations."
    try:
        return scanning.judge_answers(version, results)
    except ToolFailed as error:
        return error.message


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
        "mean_cached_input_tokens": measured.mean_cached_input_tokens,
        "mean_cache_write_tokens": measured.mean_cache_write_tokens,
        "mean_output_tokens": measured.mean_output_tokens,
        "mean_reasoning_tokens": measured.mean_reasoning_tokens,
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
