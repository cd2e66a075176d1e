"""What is seen of the checks of a version: how each stands, what is new, still there or fixed, what is waived."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.catalog import check_runs, check_states, checks, live_findings, queries_review, waivers
from marketplace.catalog.check_models import CheckFinding, CheckRun, CheckWaiver
from marketplace.catalog.models import SmokeRun, Version
from marketplace.catalog.scans.rules import Rule, rule_of

CALLS = "calls"


@dataclass(frozen=True)
class FindingLine:
    """One finding with its rule. ``status`` compares with the last approved version: new or still."""

    finding: CheckFinding
    rule: Rule
    status: str
    waiver: CheckWaiver | None
    is_waived: bool
    can_waive: bool


@dataclass(frozen=True)
class CheckLine:
    """One check: its newest run, how it stands now, and what it found. ``fixed`` is what the version before had."""

    run: CheckRun
    title: str
    state: str
    findings: Sequence[FindingLine]
    fixed: Sequence[CheckFinding]
    is_given_up: bool
    can_run_again: bool
    can_cancel: bool

    @property
    def is_over(self) -> bool:
        return self.is_given_up or not self.run.is_active()

    @property
    def duration_ms(self) -> int | None:
        if self.run.started_at is None or self.run.ended_at is None:
            return None
        return int((self.run.ended_at - self.run.started_at).total_seconds() * 1000)


@dataclass(frozen=True)
class ChecksPage:
    """The checks of a version, its calls included."""

    version: Version
    lines: Sequence[CheckLine]
    calls: SmokeRun | None
    is_calls_given_up: bool
    before: Version | None
    is_own: bool
    is_approver: bool

    @property
    def total(self) -> int:
        return len(self.lines) + (self.calls is not None)

    @property
    def done(self) -> int:
        return sum(line.is_over for line in self.lines) + (self.calls is not None and self.are_calls_over)

    @property
    def are_calls_over(self) -> bool:
        return self.calls is None or self.is_calls_given_up or self.calls.state not in CheckRun.ACTIVE

    @property
    def is_over(self) -> bool:
        return self.done == self.total

    @property
    def state(self) -> str:
        states = [line.state for line in self.lines] + ([self.calls.state] if self.calls else [])
        return check_states.overall(states) if self.is_over else "running"


def visible_versions(actor: Actor) -> QuerySet[Version]:
    """Return versions whose checks the person may see: of their own apps, and of those they review."""
    found = Version.objects.select_related("app__owner_team__organization", "plan")
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(_seen_by(actor, "app"))


def visible_runs(actor: Actor) -> QuerySet[CheckRun]:
    """Return check runs of those versions."""
    found = CheckRun.objects.select_related("version__app__owner_team__organization", "seen_by")
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(_seen_by(actor, "version__app"))


def visible_findings(actor: Actor) -> QuerySet[CheckFinding]:
    """Return findings of those versions."""
    found = CheckFinding.objects.select_related("run__version__app__owner_team__organization")
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(_seen_by(actor, "run__version__app"))


def reviewed_live_findings(actor: Actor) -> QuerySet[CheckRun]:
    """Return runs on live apps with new findings that this approver should look at, oldest first."""
    found = live_findings.unseen(CheckRun.objects.all())
    if not actor.is_platform(Role.APPROVER):
        found = found.filter(version__app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
    related = found.select_related("version__app__owner_team__organization")
    findings = Prefetch("findings", CheckFinding.objects.order_by("pk"))
    return related.prefetch_related(findings).order_by("ended_at", "pk")


def checks_page(
    version: Version,
    *,
    actor: Actor,
    at: datetime,
    calls: SmokeRun | None = None,
    versions: Sequence[Version] | None = None,
) -> ChecksPage:
    """Return the checks of a visible version; a fixed number of queries.

    ``calls`` is its newest run and ``versions`` all versions of its app, if they are at hand.
    """
    if versions is None:
        before = queries_review.last_approved(version)
    else:
        before = queries_review.before_of(version, versions)
    old = _findings_of(before) if before else {}
    calls = calls or check_states.newest_smoke_run(version)
    is_own = version.app.owner_team_id in actor.teams_as(Role.CREATOR)
    is_approver = waivers.may_approve(version.app.owner_team.organization_id, actor)
    by_print = {one.fingerprint: one for one in _open_waivers(version)}
    runs = check_states.newest_runs(version)
    given_up = _given_up(runs)
    lines = [
        _line(run, version, by_print, old.get(run.name, {}), calls=calls, may_act=is_own or is_approver, is_given_up=run.pk in given_up, at=at)
        for run in runs
    ]  # fmt: skip
    return ChecksPage(
        version=version,
        lines=lines,
        calls=calls,
        is_calls_given_up=calls is not None and checks.is_given_up(calls),
        before=before,
        is_own=is_own,
        is_approver=is_approver,
    )


def report(page: ChecksPage) -> dict[str, Any]:
    """Write the checks of a version as the report that is downloaded and that the API returns."""
    version = page.version
    return {
        "app": version.app.slug,
        "version": version.number,
        "state": page.state,
        "compared_with": page.before.number if page.before else None,
        "calls": None if page.calls is None else {"id": str(page.calls.pk), "state": page.calls.state, "finding": page.calls.finding},
        "checks": [_reported(line) for line in page.lines],
    }  # fmt: skip


def _reported(line: CheckLine) -> dict[str, Any]:
    run = line.run
    return {
        "id": str(run.pk),
        "check": run.name,
        "state": line.state,
        "found_state": run.state,
        "tool": run.tool,
        "rules_hash": run.rules_hash,
        "reason": run.reason,
        "facts": run.facts,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "findings": [
            {
                "rule": one.finding.rule,
                "severity": one.finding.severity,
                "place": one.finding.place,
                "message": one.finding.message,
                "fix": one.rule.fix,
                "fingerprint": one.finding.fingerprint,
                "status": one.status,
                "waived": one.is_waived,
            }
            for one in line.findings
        ],
        "fixed": [
            {"rule": one.rule, "place": one.place, "fingerprint": one.fingerprint} for one in line.fixed
        ],
    }


def _line(
    run: CheckRun, version: Version, by_print: Mapping[str, CheckWaiver], old: Mapping[str, CheckFinding],
    *, calls: SmokeRun | None, may_act: bool, is_given_up: bool, at: datetime,
) -> CheckLine:  # fmt: skip
    waived = {
        mark for mark, one in by_print.items() if one.state == CheckWaiver.State.APPROVED and one.ends_at > at
    }
    found = sorted(run.findings.all(), key=lambda one: one.pk)
    can_rerun = version.state in check_runs.RERUN_STATES and check_runs.can_run_alone(run.name, calls)
    is_active = run.is_active() and not is_given_up
    return CheckLine(
        run=run,
        title=run.get_name_display(),
        state="could_not_check" if is_given_up else check_states.state_now(run, waived),
        findings=[_finding(one, by_print, waived, old, may_act=may_act) for one in found],
        fixed=[]
        if is_active
        else [one for mark, one in old.items() if mark not in {f.fingerprint for f in found}],
        is_given_up=is_given_up,
        can_run_again=may_act and can_rerun and not is_active,
        can_cancel=may_act and is_active and run.name not in check_runs.WITH_CALLS,
    )


def _finding(
    one: CheckFinding, by_print: Mapping[str, CheckWaiver], waived: Iterable[str], old: Mapping[str, CheckFinding],
    *, may_act: bool,
) -> FindingLine:  # fmt: skip
    waiver = by_print.get(one.fingerprint)
    return FindingLine(
        finding=one,
        rule=rule_of(one.rule),
        status="still" if one.fingerprint in old else "new",
        waiver=waiver,
        is_waived=one.fingerprint in waived,
        can_waive=may_act and waiver is None and not waivers.why_not_waivable(one),
    )


def _findings_of(version: Version) -> dict[str, dict[str, CheckFinding]]:
    """Findings of an approved version by check and fingerprint."""
    return {
        run.name: {one.fingerprint: one for one in run.findings.all()}
        for run in check_states.newest_runs(version)
    }


def _open_waivers(version: Version) -> QuerySet[CheckWaiver]:
    return CheckWaiver.objects.filter(app=version.app_id, state__in=["proposed", "approved"]).select_related(
        "requested_by", "decided_by"
    )


def _given_up(runs: Sequence[CheckRun]) -> set[Any]:
    return {run.pk for run in runs if check_runs.is_given_up(run)}


def _seen_by(actor: Actor, app: str) -> Q:
    return Q(**{f"{app}__owner_team__in": actor.teams_as(Role.CREATOR)}) | Q(
        **{f"{app}__owner_team__organization__in": actor.organizations_as(Role.APPROVER)}
    )
