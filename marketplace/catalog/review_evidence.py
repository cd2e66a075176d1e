"""What an approver has in front of them before deciding: findings, what was accepted, declared against measured."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from marketplace.accounts.access import Actor
from marketplace.catalog import projections, queries_checks
from marketplace.catalog.judging import shown
from marketplace.catalog.models import Review, SmokeRun, Version
from marketplace.catalog.projections import Interval, PlanOutlook, Projection
from marketplace.catalog.queries_checks import CheckLine, ChecksPage

SERIOUS = ("critical", "high")


@dataclass(frozen=True)
class Compared:
    """One figure as the maker declared it and as it was measured; ``off`` is the part by which it is above."""

    label: str
    declared: Decimal
    measured: Interval
    currency: str

    @property
    def off(self) -> Decimal | None:
        return self.measured.mean / self.declared - 1 if self.declared else None

    @property
    def is_off(self) -> bool:
        return self.off is not None and self.off > Decimal("0.20")


@dataclass(frozen=True)
class Evidence:
    """The checks of a reviewed version, with what to look at first."""

    page: ChecksPage
    lines: Sequence[CheckLine]
    quiet: Sequence[CheckLine]
    compared: Sequence[Compared]
    plans: Sequence[PlanOutlook]
    currency: str
    risks: Sequence[str]

    @property
    def is_calm(self) -> bool:
        return not self.risks


def evidence(review: Review, *, versions: Sequence[Version], actor: Actor, at: datetime) -> Evidence:
    """Gather what stands for and against a reviewed version (a fixed number of queries); ``versions``: all of its app."""
    page = queries_checks.checks_page(
        review.version, actor=actor, at=at, calls=review.smoke_run, versions=versions
    )
    projection = projections.from_json(review.projection)
    return Evidence(
        page=page,
        lines=[line for line in page.lines if line.findings or line.state in ("failed", "could_not_check")],
        quiet=[line for line in page.lines if not line.findings and line.state == "passed"],
        compared=compare(review.version, review.smoke_run, projection),
        plans=projection.plans if projection else (),
        currency=projection.currency if projection else review.smoke_run.currency,
        risks=risks(page, review.smoke_run, projection),
    )


def compare(version: Version, run: SmokeRun, projection: Projection | None) -> list[Compared]:
    """Set the cost that was declared beside what twenty calls measured, of a call and of the month that is expected."""
    declared = version.declared_cost_per_call
    if declared is None or run.mean_cost is None or run.low_cost is None or run.high_cost is None:
        return []
    measured = Interval(run.low_cost, run.mean_cost, run.high_cost)
    calls = projection.monthly_calls if projection else version.expected_monthly_calls
    return [
        Compared("A call", declared, measured, run.currency),
        Compared(f"A month of {calls:,} calls", declared * calls, measured.times(calls), run.currency),
    ]


def risks(page: ChecksPage, run: SmokeRun, projection: Projection | None) -> list[str]:
    """Say in a few words each what a decider should not overlook; empty when there is nothing."""
    return [
        *_of_findings(page),
        *_of_calls(page, run),
        *_of_margin(projection),
    ]


def _of_findings(page: ChecksPage) -> list[str]:
    found = [one for line in page.lines for one in line.findings]
    waived = [one for one in found if one.is_waived]
    open_now = Counter(one.finding.severity for one in found if not one.is_waived)
    serious = sum(open_now[severity] for severity in SERIOUS)
    new = sum(one.status == "new" for one in found) if page.before else 0
    said = [
        (serious, f"{serious} serious finding{'s' if serious > 1 else ''}"),
        (open_now["medium"], f"{open_now['medium']} warning{'s' if open_now['medium'] > 1 else ''}"),
        (len(waived), f"{len(waived)} accepted by a second person"),
        (new, f"{new} new since version {page.before.number if page.before else 0}"),
    ]
    missing = [line.title for line in page.lines if line.state == "could_not_check"]
    return [words for count, words in said if count] + [f"not checked: {title}" for title in missing]


def _of_calls(page: ChecksPage, run: SmokeRun) -> list[str]:
    over = page.version.declared_cost_per_call
    said = []
    if over and run.mean_cost is not None and run.mean_cost > over:
        percent = (run.mean_cost / over - 1) * 100
        said.append(f"a call costs {percent:.0f} % more than declared")
    if run.failed_calls:
        said.append(f"{run.failed_calls} of {run.done_calls} calls failed")
    if run.p95_latency_ms and run.p95_latency_ms > page.version.slo_latency_ms:
        said.append("slower than promised")
    return said


def _of_margin(projection: Projection | None) -> list[str]:
    if projection is None:
        return ["nothing is known of the margin"]
    if projection.margin < 0:
        return [f"the platform loses {shown(-projection.margin, projection.currency)} a month"]
    if projection.margin_at_high_cost < 0:
        return ["the platform loses money at the upper end of the measured cost"]
    return []
