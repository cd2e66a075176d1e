"""Runs of the named checks: queued when a version is handed in, one again on demand, ended with what was found."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from marketplace.accounts.models import User
from marketplace.catalog import gate
from marketplace.catalog.check_models import CheckFinding, CheckRun
from marketplace.catalog.models import App, SmokeRun, Version
from marketplace.catalog.scans.findings import MAX_PLACE, MAX_TEXT, Report, fingerprints, state_of
from marketplace.core import audit, jobs
from marketplace.core.errors import Conflict, NotFound
from marketplace.core.models import Job
from marketplace.core.transitions import move

SCAN_JOB = "catalog.run_check"
ENDPOINT_JOB = "gateway.check_endpoint"
MARGIN_JOB = "billing.check_sustainability"
Name = CheckRun.Name
WITH_CALLS = (Name.BEHAVIOR, Name.SUSTAINABILITY)
RERUN_STATES = frozenset({"checking", "in_review", "listed"})


class RunEnded(Conflict):
    """The check was decided already; whoever still works on it can stop."""

    code = "check_ended"

    def __init__(self, run: CheckRun) -> None:
        self.run = run
        super().__init__(f"This check has ended: {run.get_state_display()}.")


def names_of(version: Version) -> list[str]:
    """Return the checks that a version needs besides its calls."""
    is_http = version.app.kind == App.Kind.HTTP
    has_code = version.archive_id is not None
    needed = {
        Name.TEMPLATE: True,
        Name.CODE: has_code,
        Name.DEPENDENCIES: has_code,
        Name.ENDPOINT: is_http,
        Name.BEHAVIOR: bool(version.examples),
    }
    return [name for name in Name.values if needed.get(Name(name), True)]


def queue_all(version: Version, *, by: User, at: datetime) -> list[CheckRun]:
    """Queue every check of a version that is handed in; those that need the calls wait for them."""
    return [_queue(version, name, by=by, at=at) for name in names_of(version)]


def queue_with_calls(version: Version, *, by: User, at: datetime) -> None:
    """Let the checks that read the calls wait for new ones."""
    for name in set(names_of(version)).intersection(WITH_CALLS):
        waiting = version.check_runs.filter(name=name, state__in=CheckRun.ACTIVE).first()
        if waiting is not None and is_given_up(waiting):
            keep_reason(waiting, "It was given up after several tries.", at=at)
            waiting = None
        if waiting is None:
            _queue(version, name, by=by, at=at)


@transaction.atomic
def run_again(
    version: Version, *, name: str, by: User | None, at: datetime, is_rescan: bool = False
) -> CheckRun:
    """Queue one check of a version once more.

    Raises Conflict while one is under way, for a version in another state, and for a check that needs new calls:
    those are made again instead. The margin is judged anew at the cost that was measured last.
    """
    # The order of rows everywhere is version, then run; two who press at once are told apart by the constraint.
    locked = Version.objects.select_for_update(of=("self",)).select_related("app").get(pk=version.pk)
    if locked.state not in RERUN_STATES:
        raise Conflict(
            "Only a version that is checked, reviewed or listed can be checked again.", code="not_checking"
        )
    if name not in names_of(locked) or not can_run_alone(name, _newest_smoke_run(locked)):
        raise Conflict("This check is made with the calls; make those again.", code="made_with_calls")
    for unfinished in locked.check_runs.filter(name=name, state__in=CheckRun.ACTIVE):
        if is_given_up(unfinished):
            keep_reason(unfinished, "It was given up after several tries.", at=at)
    run = _queue(locked, name, by=by, at=at, is_rescan=is_rescan)
    if name == Name.SUSTAINABILITY:
        ask_billing(run, at=at)
    audit.record("catalog.scan.again", subject=run, at=at, by=by, new={"check": name})
    return run


def can_run_alone(name: str, calls: SmokeRun | None) -> bool:
    """Tell whether a check can be made again without new calls: the margin once a cost was measured."""
    if name not in WITH_CALLS:
        return True
    has_cost = calls is not None and calls.state not in CheckRun.ACTIVE and calls.mean_cost is not None
    return name == Name.SUSTAINABILITY and has_cost


def _newest_smoke_run(version: Version) -> SmokeRun | None:
    return version.smoke_runs.order_by("-created_at", "-pk").first()


@transaction.atomic
def cancel(run: CheckRun, *, by: User, at: datetime) -> None:
    """End a check that is under way. It could not be checked then, and can be run again."""
    could_not(run, f"Canceled by {by}.", at=at, by=by)


def start(run_id: UUID | str, *, at: datetime) -> CheckRun:
    """Claim a queued check and return it with its version and app; a running one as it is, because its worker died.

    Raises RunEnded.
    """
    run = CheckRun.objects.select_related("version__app__owner_team__organization").filter(pk=run_id).first()
    if run is None:
        raise NotFound("check", run_id)
    if run.state == CheckRun.State.QUEUED:
        _move(run, CheckRun.State.RUNNING, action="catalog.scan.started", at=at, changes={"started_at": at})
    if run.state != CheckRun.State.RUNNING:
        raise RunEnded(run)
    return run


@transaction.atomic
def finish(run: CheckRun, report: Report, *, at: datetime, rules_hash: str = "") -> str:
    """End a running check with what it found; returns its state. Moves the version on when it was the last one."""
    version = _locked(run)
    state = keep_found(run, report, at=at, rules_hash=rules_hash)
    gate.settle(version, cause=run.pk, at=at)
    return state


@transaction.atomic
def could_not(run: CheckRun, reason: str, *, at: datetime, by: User | None = None) -> None:
    """End a check that could not be made, with the reason; the version waits for another run."""
    version = _locked(run)
    keep_reason(run, reason, at=at, by=by)
    gate.settle(version, cause=run.pk, at=at)


def keep_found(run: CheckRun, report: Report, *, at: datetime, rules_hash: str) -> str:
    """Write what a check found; whoever holds the version's lock settles it."""
    state = state_of(one.severity for one in report.findings)
    changes = {
        "ended_at": at,
        "tool": report.tool[:200],
        "facts": dict(report.facts),
        "rules_hash": rules_hash,
    }
    _move(run, state, action=f"catalog.scan.{state}", at=at, changes=changes)
    CheckFinding.objects.bulk_create(
        [
            CheckFinding(
                run=run,
                rule=one.rule,
                severity=one.severity,
                place=_storable(one.where)[:MAX_PLACE],
                message=_storable(one.message)[:MAX_TEXT],
                fingerprint=fingerprint,
            )
            for one, fingerprint in zip(report.findings, fingerprints(run.name, report.findings), strict=True)
        ]
    )
    return state


def keep_reason(run: CheckRun, reason: str, *, at: datetime, by: User | None = None) -> None:
    """Write why a check could not be made; whoever holds the version's lock settles it."""
    _move(
        run,
        CheckRun.State.COULD_NOT_CHECK,
        action="catalog.scan.could_not_check",
        at=at,
        by=by,
        changes={"ended_at": at, "reason": _storable(reason)},
    )


def end_withdrawn(version: Version, *, by: User, at: datetime) -> None:
    """End what is under way of a version that is taken back."""
    for run in version.check_runs.filter(state__in=CheckRun.ACTIVE).order_by("pk"):
        keep_reason(run, "The version was withdrawn.", at=at, by=by)


def ask_billing(run: CheckRun, *, at: datetime) -> None:
    """Queue the check of the margin: prices and shares are known above the catalogue, which reports back."""
    jobs.enqueue(
        MARGIN_JOB, idempotency_key=job_key(run), at=at, by=run.requested_by, check_run_id=str(run.pk)
    )


def waiting_for_calls(version: Version, *, at: datetime) -> dict[str, CheckRun]:
    """Return the checks that read the calls, claimed, by name."""
    waiting: Iterable[CheckRun] = version.check_runs.filter(name__in=WITH_CALLS, state__in=CheckRun.ACTIVE)
    return {run.name: start(run.pk, at=at) for run in waiting}


def is_given_up(run: CheckRun) -> bool:
    """Tell whether nobody works on an unfinished check any more: its job failed too often or was canceled."""
    ended = [Job.State.FAILED, Job.State.CANCELED]
    return run.is_active() and Job.objects.filter(idempotency_key=job_key(run), state__in=ended).exists()


def job_key(run: CheckRun) -> str:
    """Return the idempotency key of the job that makes a check."""
    return f"scan:{run.pk}"


def _queue(
    version: Version, name: str, *, by: User | None, at: datetime, is_rescan: bool = False
) -> CheckRun:
    try:
        with transaction.atomic():
            run = CheckRun.objects.create(
                version=version, name=name, requested_by=by, created_at=at, is_rescan=is_rescan
            )
    except IntegrityError as error:
        raise Conflict("This check is under way already.", code="check_under_way") from error
    if name == Name.ENDPOINT:
        jobs.enqueue(ENDPOINT_JOB, idempotency_key=job_key(run), at=at, by=by, check_run_id=str(run.pk))
    elif name not in WITH_CALLS:
        jobs.enqueue(SCAN_JOB, idempotency_key=job_key(run), at=at, by=by, check_run_id=str(run.pk))
    return run


def _locked(run: CheckRun) -> Version:
    return (
        Version.objects.select_for_update(of=("self",))
        .select_related("app__owner_team__organization", "plan", "submitted_by")
        .get(pk=run.version_id)
    )


def _move(run: CheckRun, state: str, *, action: str, at: datetime, changes: dict[str, object], by: User | None = None) -> None:  # fmt: skip
    reason = str(changes.get("reason", ""))
    move(run, CheckRun.TRANSITIONS, to=state, action=action, at=at, by=by, changes=changes, reason=reason)


def _storable(text: str) -> str:
    """Drop what PostgreSQL does not store: an archive of a stranger may hold NUL and halves of characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
