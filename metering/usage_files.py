"""A usage report as CSV and as JSON: the same columns, the same numbers."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from marketplace.core.csv import Cell
from marketplace.core.money import to_text
from metering.measures import MEASURES, Measures
from metering.usage_reports import UsageReport, UsageRow

_APART = ("latency_ms", "latency_events", "cost", "provider_cost", "provider_cost_events", "compared_cost")
COUNTS = tuple(name for name in MEASURES if name not in _APART)


def columns(report: UsageReport) -> tuple[str, ...]:
    """Name the columns: time, then id and label of each dimension, then what is counted."""
    dimensions = [name for one in report.group_by for name in (one, f"{one}_label")]
    return ("starts_at", *dimensions, *COUNTS, "mean_latency_ms", "cost", "currency")


def csv_rows(report: UsageReport) -> Iterator[tuple[Cell, ...]]:
    """Give a row of ``columns`` for each row of the report; the last one is the total."""
    for row in report.rows:
        parts = [cell for part in row.parts for cell in (part.id, part.label)]
        yield (row.starts_at, *parts, *_cells(row.measures), report.currency)
    blanks = ("",) * (2 * len(report.group_by))
    yield ("Total", *blanks, *_cells(report.totals), report.currency)


def as_json(report: UsageReport, *, currency: str) -> dict[str, Any]:
    """Return the report for the API; ``currency`` stands in when nothing was used."""
    return {
        "from": _time(report.from_at),
        "to": _time(report.to_at),
        "granularity": report.granularity,
        "group_by": list(report.group_by),
        "currency": report.currency or currency,
        "newest_hour": _time(report.newest_hour) if report.newest_hour else None,
        "totals": measures_as_json(report.totals),
        "next": None,
        "previous": None,
        "results": [_row(row) for row in report.rows],
    }


def _row(row: UsageRow) -> dict[str, Any]:
    said: dict[str, Any] = {"starts_at": _time(row.starts_at)}
    for part in row.parts:
        said[part.dimension] = part.id
        said[f"{part.dimension}_label"] = part.label
    return said | measures_as_json(row.measures)


def measures_as_json(measures: Measures) -> dict[str, Any]:
    """Return sums as every answer of the API has them."""
    counts: dict[str, Any] = {name: getattr(measures, name) for name in COUNTS}
    return counts | {"mean_latency_ms": measures.mean_latency_ms, "cost": to_text(measures.cost)}


def _cells(measures: Measures) -> tuple[Cell, ...]:
    counts = tuple(getattr(measures, name) for name in COUNTS)
    # As a number: a text that begins with a minus would be defused.
    return (*counts, measures.mean_latency_ms, Decimal(to_text(measures.cost)))


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
