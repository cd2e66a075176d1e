"""A kept report as its page draws it: amounts as Decimal, charts, the grid as rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketplace.core.charts import Chart, Series, bar_chart, line_chart
from marketplace.gateway.saving_report_models import SavingReport
from marketplace.gateway.savings.telling import NAMES

FIELDS = {"from": "from_date", "to": "to_date", "app": "app", "kept_permille": "kept"}
WHAT = {
    "limits": "calls beyond a limit are refused; that saves nothing",
    "routing": "easy calls go to the cheaper model",
    "cache": "equal calls are answered again",
    "prompt_cache": "beginnings of prompts cost less the second time",
    "batching": "calls that may wait go into batches",
    "pools": "instances follow demand",
}


@dataclass(frozen=True)
class LeverRow:
    """A lever on the page."""

    title: str
    what: str
    saving: Decimal
    left: Decimal
    permille: int


@dataclass(frozen=True)
class ReportView:
    """A report on the page."""

    found: Mapping[str, Any]
    currency: str
    before: Decimal
    after: Decimal
    saving: Decimal
    levers: tuple[LeverRow, ...]
    lever_chart: Chart
    time_chart: Chart | None
    grid_head: tuple[int, ...]
    grid: tuple[tuple[int, tuple[int, ...]], ...]
    refused_cost: Decimal


@dataclass(frozen=True)
class ReportRow:
    """A report in the list."""

    report: SavingReport
    saving: Decimal | None
    permille: int | None
    lost_permille: int | None
    currency: str


def row(report: SavingReport) -> ReportRow:
    """Return a report for the list."""
    found = report.found
    if found is None:
        return ReportRow(report, None, None, None, "")
    lost = found["quality"]["lost_permille"]
    return ReportRow(report, Decimal(found["saving"]), found["saved_permille"], lost, found["currency"])


def view_of(found: Mapping[str, Any]) -> ReportView:
    """Return what the page draws."""
    levers = tuple(
        LeverRow(
            NAMES[one["lever"]],
            WHAT[one["lever"]],
            Decimal(one["saving"]),
            Decimal(one["left"]),
            one["permille_of_base"],
        )
        for one in found["levers"]
    )
    batchable = tuple(sorted({cell["batchable_permille"] for cell in found["grid"]}))
    return ReportView(
        found=found,
        currency=found["currency"],
        before=Decimal(found["cost_before"]),
        after=Decimal(found["cost_after"]),
        saving=Decimal(found["saving"]),
        levers=levers,
        lever_chart=_lever_chart(levers, Decimal(found["cost_before"]), found["currency"]),
        time_chart=_time_chart(found),
        grid_head=batchable,
        grid=_grid(found["grid"], batchable),
        refused_cost=Decimal(found["calls"]["refused_cost_not_counted"]),
    )


def _lever_chart(levers: tuple[LeverRow, ...], before: Decimal, currency: str) -> Chart:
    """Draw what is left after each lever, beginning with everything."""
    labels = ["Before", *(one.title for one in levers)]
    left = Series("Left to pay", [before, *(one.left for one in levers)])
    return bar_chart(
        labels, [left], format_value=lambda one: _money(one, currency), label_heading="After", has_total=False
    )


def _time_chart(found: Mapping[str, Any]) -> Chart | None:
    if not found["over_time"]:
        return None
    start = datetime.fromisoformat(found["starts_at"])
    is_long = found["length_ms"] > 2 * 86_400_000
    pattern = "%-d %b %H:00" if is_long else "%H:%M"
    labels = [f"{start + timedelta(milliseconds=one['after_ms']):{pattern}}" for one in found["over_time"]]
    before = Series("Before", [Decimal(one["cost_before"]) for one in found["over_time"]])
    after = Series("After", [Decimal(one["cost_after"]) for one in found["over_time"]])
    currency = found["currency"]
    return line_chart(
        labels, [before, after], format_value=lambda one: _money(one, currency), label_heading="From"
    )


def _grid(
    cells: list[Mapping[str, Any]], batchable: tuple[int, ...]
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    saved = {(one["repeat_permille"], one["batchable_permille"]): one["saved_permille"] for one in cells}
    repeats = sorted({one["repeat_permille"] for one in cells})
    return tuple((one, tuple(saved[one, share] for share in batchable)) for one in repeats)


def _money(amount: Decimal | int, currency: str) -> str:
    return f"{Decimal(amount):,.2f} {currency}"
