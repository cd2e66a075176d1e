"""Makes one queued check: starts its scanner, looks up advisories, and hands in what was found."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from marketplace.catalog import advisories, check_runs, live_findings, subjects
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import Version
from marketplace.catalog.scans import running, semgrep
from marketplace.catalog.scans.findings import Report, sorted_findings
from marketplace.catalog.scans.running import ToolFailed
from marketplace.catalog.scans.subject import Subject
from marketplace.core.money import to_text

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]


def run(check_run_id: str, *, clock: Clock, semgrep_command: str = "") -> str:
    """Make one check and return its state. Whatever goes wrong in a tool ends as could_not_check, with the reason.

    ``semgrep_command`` switches semgrep on for code.
    """
    try:
        run = check_runs.start(check_run_id, at=clock())
    except check_runs.RunEnded as error:
        return str(error.run.state)
    try:
        report = _scan(run, at=clock(), semgrep_command=semgrep_command)
    except ToolFailed as error:
        check_runs.could_not(run, error.message, at=clock())
    except Exception as error:  # the process edge of a tool: its fault must not leave a version waiting
        logger.exception("check %s %s failed", run.name, run.pk)
        check_runs.could_not(run, f"It broke off: {type(error).__name__}.", at=clock())
    else:
        check_runs.finish(run, report, at=clock(), rules_hash=rules_hash(run.name))
        if run.is_rescan:
            live_findings.tell(run, at=clock())
    return str(run.state)


def rules_hash(name: str) -> str:
    """Return the state of a check's rules now; that of dependencies moves with the advisories."""
    known = running.rules_hash(name)
    if name != CheckRun.Name.DEPENDENCIES:
        return known
    snapshot = advisories.newest()
    return f"{known[:32]}{snapshot.sha256[:32]}" if snapshot else known


def judge_answers(version: Version, calls: Sequence[SmokeCall]) -> Report:
    """Compare the answers of the calls with what the maker's examples expect. Raises ToolFailed."""
    made = [
        (one.example, one.output, one)
        for one in calls
        if one.example is not None and one.output is not None and not one.error
    ]
    outputs = tuple((example, output) for example, output, _ in made)
    costs = tuple((example, to_text(one.cost)) for example, _, one in made)
    subject = replace(
        subjects.subject_of(version, "behavior"),
        examples=tuple(version.examples),
        outputs=outputs,
        costs=costs,
    )
    return running.run(CheckRun.Name.BEHAVIOR, subject)


def _scan(run: CheckRun, *, at: datetime, semgrep_command: str) -> Report:
    subject = subjects.subject_of(run.version, run.name)
    if run.name == CheckRun.Name.CODE and semgrep_command:
        return _with_semgrep(running.run(run.name, subject), subject, semgrep_command)
    if run.name != CheckRun.Name.DEPENDENCIES:
        return running.run(run.name, subject)
    snapshot = advisories.newest()
    if snapshot is None:
        raise ToolFailed(
            "No advisories were imported: nothing is known of flaws in packages. An operator can import them."
        )
    report = running.run(run.name, subject)
    needs: list[Any] = list(report.facts["needs"])
    found = [*report.findings, *advisories.look_up(snapshot, needs, at=at)]
    facts = {
        "packages": len(needs),
        "advisories_as_of": snapshot.as_of.isoformat(),
        "source": snapshot.source,
    }
    return Report(sorted_findings(found), f"{report.tool}, advisories of {snapshot.as_of:%Y-%m-%d}", facts)


def _with_semgrep(report: Report, subject: Subject, command: str) -> Report:
    more = semgrep.scan(subject.archive, command=command)
    found = sorted_findings([*report.findings, *more.findings])
    return Report(found, ", ".join(filter(None, (report.tool, more.tool))), report.facts)
