"""Everything in which a version differs from the one approved before: fields, texts, price, endpoint, findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from marketplace.catalog import check_states, queries_review, text_diff
from marketplace.catalog.check_models import CheckFinding, CheckRun
from marketplace.catalog.models import Version
from marketplace.catalog.queries_review import Change
from marketplace.catalog.scans.rules import Rule, rule_of
from marketplace.catalog.text_diff import Part

# What is compared word by word; of everything else both values are shown.
TEXTS = frozenset(
    {
        "Name",
        "Summary",
        "Description",
        "Instructions",
        "Prompt",
        "Inputs",
        "Expected answers",
        "Models",
        "Documents",
    }
)
# Which of the changes a reviewer looks at first.
GRAVE = frozenset(
    {"Instructions", "Prompt", "Endpoint", "Models", "Price", "Code", "Listed for", "Documents"}
)


@dataclass(frozen=True)
class FieldChange:
    """One field, its words compared where it is a text."""

    change: Change
    parts: Sequence[Part]

    @property
    def label(self) -> str:
        return self.change.label

    @property
    def is_grave(self) -> bool:
        return self.change.label in GRAVE


@dataclass(frozen=True)
class FindingChange:
    """A finding that is new, or that is fixed. ``is_waived``: a second person accepted it."""

    finding: CheckFinding
    rule: Rule
    status: str
    is_waived: bool


@dataclass(frozen=True)
class VersionDiff:
    """All of it. ``before`` None: the first version, with nothing to compare."""

    version: Version
    before: Version | None
    fields: Sequence[FieldChange]
    findings: Sequence[FindingChange]
    states: Sequence[tuple[str, str]]

    @property
    def is_empty(self) -> bool:
        return not self.fields and not self.findings


def compare(version: Version, *, before: Version | None, at: datetime) -> VersionDiff:
    """Compare a version with another one, its checks as they stand now (three queries)."""
    both = [version, *([before] if before else [])]
    runs = check_states.newest_runs_of(both)
    waived = check_states.waived_prints(version, at=at)
    own = runs.get(version.pk, [])
    titles = dict(CheckRun.Name.choices)
    return VersionDiff(
        version=version,
        before=before,
        fields=field_changes(version, before=before),
        findings=_findings(own, runs.get(before.pk, []), waived) if before else [],
        states=[(titles[run.name], check_states.state_now(run, waived)) for run in own],
    )


def compare_fields(version: Version, *, before: Version | None) -> VersionDiff:
    """Compare all but the findings, for a page that shows them anyway (no query)."""
    return VersionDiff(
        version=version, before=before, fields=field_changes(version, before=before), findings=(), states=()
    )


def field_changes(version: Version, *, before: Version | None) -> list[FieldChange]:
    """Compare the fields that a reviewer decides on; the gravest first. Nothing for a first version."""
    if before is None:
        return []
    changes = queries_review.differences(version, before=before)
    found = [
        FieldChange(change, text_diff.diff(change.old, change.new) if change.label in TEXTS else ())
        for change in changes
    ]
    return sorted(found, key=lambda one: not one.is_grave)


def _findings(
    own: Sequence[CheckRun], earlier: Sequence[CheckRun], waived: frozenset[str]
) -> list[FindingChange]:
    now, then = _by_print(own), _by_print(earlier)
    new = [
        FindingChange(one, rule_of(one.rule), "new", is_waived=one.fingerprint in waived)
        for print_, one in now.items()
        if print_ not in then
    ]
    # A check that is not made of this version says nothing about what it found before.
    names = {run.name for run in own}
    fixed = [
        FindingChange(one, rule_of(one.rule), "fixed", is_waived=False)
        for print_, one in then.items()
        if print_ not in now and one.run.name in names
    ]
    return [*new, *fixed]


def _by_print(runs: Sequence[CheckRun]) -> dict[str, CheckFinding]:
    return {one.fingerprint: one for run in runs for one in run.findings.all()}
