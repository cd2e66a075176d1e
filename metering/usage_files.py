"""A usage report as CSV and as JSON: the same columns, the same numbers."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from marketplace.core.csv import Cell
from marketplace.core.money import to_text
from metering.comparing import Change, ComparedRow, compare_rows, compare_totals
from metering.latencies import PERCENTILES, Histogram
from metering.measures import MEASURES, Measures
from metering.usage_reports import Part, UsageReport, UsageRow

_APART = ("latency_ms", "latency_events", "cost", "provider_cost", "provider_cost_events", "compared_cost")
COUNTS = tuple(name for name in MEASURES if name not in _APART)
COMPARED_MEASURES = ("requests", "tokens", "cost")
LATENCY_COLUMNS = tuple(f"latency_p{percent}_ms" for percent in PERCENTILES)
COMPARED_COLUMNS = tuple(
    f"{name}_{part}" for name in COMPARED_MEASURES for part in ("before", "difference", "change")
)
NONE = Histogram()


def columns(report: UsageReport) -> tuple[str, ...]:
    """Name the columns: time, then id and label of each dimension, then what is counted, then what was before."""
    dimensions = [name for one in report.group_by for name in (one, f"{one}_label")]
    return (
        "starts_at", *dimensions, *COUNTS, "mean_latency_ms", "cost", "currency",
        *(LATENCY_COLUMNS if report.histograms is not None else ()),
        *((*COMPARED_COLUMNS, "standing") if report.before else ()),
    )  # fmt: skip


def csv_rows(report: UsageReport) -> Iterator[tuple[Cell, ...]]:
    """Give a row of ``columns`` for each row of the report; the last one is the total."""
    for row in file_rows(report):
        parts = [cell for part in row.parts for cell in (part.id, part.label)]
        yield (row.starts_at, *parts, *_cells(report, row, _histogram(report, row)))
    blanks = ("",) * (2 * len(report.group_by))
    yield ("Total", *blanks, *_cells(report, total_row(report), report.latency))


def file_name(report: UsageReport) -> str:
    """Name a file of the report, without its ending."""
    return f"usage-{report.from_at:%Y-%m-%d}-{report.to_at:%Y-%m-%d}"


def file_rows(report: UsageReport) -> tuple[ComparedRow, ...]:
    """List the rows; of a report that compares also those that are only in the earlier period."""
    return compare_rows(report) if report.before else tuple(_alone(row) for row in report.rows)


def folded_rows(report: UsageReport) -> tuple[ComparedRow, ...]:
    """List the groups of a report that does not compare, summed over time."""
    return tuple(_alone(row) for row in report.folded)


def total_row(report: UsageReport) -> ComparedRow:
    """Return the totals as a row."""
    return compare_totals(report) if report.before else _alone(UsageRow(report.from_at, (), report.totals))


def as_json(report: UsageReport, *, currency: str) -> dict[str, Any]:
    """Return the report for the API; ``currency`` stands in when nothing was used."""
    said: dict[str, Any] = {
        "from": _time(report.from_at),
        "to": _time(report.to_at),
        "granularity": report.granularity,
        "group_by": list(report.group_by),
        "currency": report.currency or currency,
        "newest_hour": _time(report.newest_hour) if report.newest_hour else None,
        "totals": _said(report, total_row(report), report.latency),
        "next": None,
        "previous": None,
        "results": [_row(report, row) for row in file_rows(report)],
    }
    if report.before:
        said["compared_with"] = {"from": _time(report.before.from_at), "to": _time(report.before.to_at)}
    return said


def _alone(row: UsageRow) -> ComparedRow:
    return ComparedRow(row.starts_at, row.parts, row.measures, Measures())


def _histogram(report: UsageReport, row: ComparedRow) -> Histogram:
    return (report.histograms or {}).get((row.starts_at, row.parts), NONE)


def _row(report: UsageReport, row: ComparedRow) -> dict[str, Any]:
    said: dict[str, Any] = {"starts_at": _time(row.starts_at)}
    for part in row.parts:
        said |= _part(part)
    return said | _said(report, row, _histogram(report, row))


def _part(part: Part) -> dict[str, Any]:
    return {part.dimension: part.id, f"{part.dimension}_label": part.label}


def measures_as_json(measures: Measures) -> dict[str, Any]:
    """Return sums as every answer of the API has them."""
    counts: dict[str, Any] = {name: getattr(measures, name) for name in COUNTS}
    return counts | {"mean_latency_ms": measures.mean_latency_ms, "cost": to_text(measures.cost)}


def _said(report: UsageReport, row: ComparedRow, histogram: Histogram) -> dict[str, Any]:
    said = measures_as_json(row.now)
    if report.histograms is not None:
        said |= dict(zip(LATENCY_COLUMNS, _percentiles(histogram), strict=True))
    if report.before:
        said["before"] = {name: _text(getattr(row, name).before) for name in COMPARED_MEASURES}
        said["difference"] = {name: _text(getattr(row, name).difference) for name in COMPARED_MEASURES}
        said["change"] = {name: _text(_share(getattr(row, name))) for name in COMPARED_MEASURES}
        said["standing"] = row.standing or None
    return said


def _cells(report: UsageReport, row: ComparedRow, histogram: Histogram) -> tuple[Cell, ...]:
    counts = tuple(getattr(row.now, name) for name in COUNTS)
    # As a number: a text that begins with a minus would be defused.
    cost = Decimal(to_text(row.now.cost))
    return (
        *counts, row.now.mean_latency_ms, cost, report.currency,
        *(_percentiles(histogram) if report.histograms is not None else ()),
        *((*_compared_cells(row), row.standing) if report.before else ()),
    )  # fmt: skip


def _compared_cells(row: ComparedRow) -> Iterator[Cell]:
    for name in COMPARED_MEASURES:
        change: Change = getattr(row, name)
        for value in (change.before, change.difference, _share(change)):
            yield None if value is None else Decimal(to_text(Decimal(value)))


def _share(change: Change) -> Decimal | None:
    """Round to what a percentage with two decimals needs."""
    return None if change.share is None else round(change.share, 4)


def _percentiles(histogram: Histogram) -> tuple[int | None, ...]:
    return tuple(histogram.percentile(percent) for percent in PERCENTILES)


def _text(value: Decimal | int | None) -> Any:
    """Write a decimal exactly; whole counts stay numbers."""
    if value is None or isinstance(value, int):
        return value
    return to_text(value)


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
