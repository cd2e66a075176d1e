"""The state of a smoke test. The gateway claims it, makes the calls through the real pipeline, and reports here."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from marketplace.catalog import plans, reviews
from marketplace.catalog.judging import COULD_NOT_CHECK, FAILED, Measured, SmokeCall, Verdict, judge, measure
from marketplace.catalog.models import SmokeRun, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.projections import Projection, project
from marketplace.core.errors import Conflict, NotFound
from marketplace.core.models import Job
from marketplace.core.notices import notify
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


@transaction.atomic
def finish(
    smoke_run: SmokeRun,
    results: Sequence[SmokeCall],
    *,
    at: datetime,
    revenue_share: Decimal,
    stopped_because: str = "",
) -> Verdict:
    """Judge a running smoke test and move its version on.

    Passed or warned: the version goes to review, with the projection that the approver will see. Failed: back to
    its maker. ``stopped_because`` (a sentence: credit used up, no provider, withdrawn) makes it could_not_check,
    and the version waits for another run. ``revenue_share`` is the platform's share when no agreement says
    otherwise. Raises IllegalTransition when the run has ended before.
    """
    # The order of rows everywhere is version, then run: a withdrawal at this moment waits or has won.
    version = (
        Version.objects.select_for_update(of=("self",))
        .select_related("app__owner_team__organization", "plan", "submitted_by")
        .get(pk=smoke_run.version_id)
    )
    measured = measure(results)
    projection = _projection(version, measured, smoke_run.currency, revenue_share)
    verdict = judge(
        measured,
        declared_cost=version.declared_cost_per_call,
        slo_latency_ms=version.slo_latency_ms,
        projection=projection,
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
    if version.state == Version.State.CHECKING:
        _move_on(version, smoke_run, verdict, projection, at=at)
    return verdict


def _move_on(
    version: Version, run: SmokeRun, verdict: Verdict, projection: Projection | None, *, at: datetime
) -> None:
    if verdict.state == COULD_NOT_CHECK:
        _tell(version, run, "could not be finished. Run it again.", at=at)
    elif verdict.state == FAILED:
        move(
            version,
            Version.TRANSITIONS,
            to=Version.State.CHANGES_REQUESTED,
            action="catalog.version.check_failed",
            at=at,
        )
        _tell(version, run, "failed. See what to change.", at=at)
    else:
        reviews.open_review(version, smoke_run=run, projection=projection, at=at)
        _tell(version, run, f"{verdict.state}. A reviewer decides next.", at=at)


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


def _tell(version: Version, run: SmokeRun, what: str, *, at: datetime) -> None:
    notify(
        [version.submitted_by] if version.submitted_by else [],
        text=f"The check of {version} {what}",
        at=at,
        key=f"check:{run.pk}:ended",
        path=reverse("catalog:check", args=[run.pk]),
    )
