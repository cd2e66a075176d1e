"""Usage reports drawn for pages: charts, tables and the addresses of what a number is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.http import QueryDict

from marketplace.core.charts import Chart, Series, Value, bar_chart, line_chart
from marketplace.core.money import format_amount
from marketplace.core.templatetags.money import amount, compact, number, shorten
from metering import filter_texts, usage_addresses, usage_files
from metering.comparing import ComparedRow, compare_groups, compare_rows, sum_rows
from metering.dimensions import DIMENSIONS, NOTHING
from metering.latencies import Histogram
from metering.measures import Measures
from metering.usage_reports import Part, UsageReport, next_bucket

Filters = Mapping[str, tuple[str, ...]]
MOST_SERIES = 6
MOST_ROWS = 100
LABELS = {"hour": "%-d %b %H:%M", "day": "%-d %b", "week": "%-d %b", "month": "%b %Y", "total": "%-d %b %Y"}
HEADINGS = {"hour": "Hour", "day": "Day", "week": "Week from", "month": "Month", "total": "From"}
TITLES = {"cost": "Spend", "requests": "Calls", "tokens": "Tokens"}
# Where the next question leads: from a cost center to its teams, from a team to its apps.
NEXT_GROUP = {
    "organization": "cost_center",
    "cost_center": "team",
    "team": "app",
    "app": "model",
    "subscription": "key",
    "plan": "subscription",
    "key": "model",
    "model": "app",
    "environment": "app",
    "instance_type": "app",
    "feature": "app",
}


@dataclass(frozen=True)
class TableRow:
    """One line of a usage table. ``url`` leads to what it is made of; ``share`` is that of the total cost."""

    label: str
    measures: Measures
    url: str = ""
    share: Decimal | None = None
    compared: ComparedRow | None = None
    latency: Histogram = usage_files.NONE
    events_url: str = ""


def chart_of(report: UsageReport, *, measure: str, currency: str) -> Chart:
    """Draw one measure over time: a line beside that of the earlier period, or stacked bars when it is grouped."""
    labels = [label_of(start, report.granularity) for start in report.stretches()]
    heading = HEADINGS[report.granularity]
    if not report.group_by:
        draw: Callable[..., Chart] = line_chart
        series = [Series(TITLES[measure], _values(report, measure)), *_line_before(report, measure)]
    else:
        draw, series = bar_chart, _stacked(report, measure)
    return draw(
        labels,
        series,
        format_value=formatter(measure, currency),
        format_tick=tick_formatter(measure, currency),
        label_heading=heading,
        has_total=True,
    )


def table_of(report: UsageReport, *, query: QueryDict, filters: Filters) -> list[TableRow]:
    """List the groups, the dearest first; what is beyond a hundred is one row, so that rows and totals agree.

    Without a grouping: the stretches of time, the newest first. ``filters`` are those of the report.
    """
    if not report.group_by:
        return [_time_row(row, report, filters) for row in reversed(_by_time(report))]
    rows = compare_groups(report) if report.before else usage_files.folded_rows(report)
    table = [_group_row(row, report, query, filters) for row in rows[:MOST_ROWS]]
    if rest := rows[MOST_ROWS:]:
        others = sum_rows(rest, label=f"{len(rest):,} more")
        row = TableRow(others.parts[0].label, others.now, share=_share(others.now, report))
        table.append(replace(row, compared=_if_compared(report, others)))
    return table


def address(query: QueryDict, changes: Mapping[str, str]) -> str:
    """Write the same address with some parameters changed; an empty value takes one away."""
    changed = query.copy()
    for name, value in changes.items():
        if value:
            changed[name] = value
        else:
            changed.pop(name, None)
    return f"?{changed.urlencode()}"


def label_of(start: datetime, granularity: str) -> str:
    return start.strftime(LABELS[granularity])


def formatter(measure: str, currency: str) -> Callable[[Value], str]:
    """Return how values of a measure are written in full."""
    return (lambda value: amount(value, currency)) if measure == "cost" else number


def tick_formatter(measure: str, currency: str) -> Callable[[Value], str]:
    """Return how values of a measure are written on an axis."""
    if measure != "cost":
        return compact
    return lambda value: format_amount(shorten(Decimal(value)), currency)


def _by_time(report: UsageReport) -> Sequence[ComparedRow]:
    if report.before:
        return compare_rows(report)
    return [
        ComparedRow(row.starts_at, (), row.measures, Measures())
        for row in report.over_time
        if row.measures.events
    ]


def _if_compared(report: UsageReport, row: ComparedRow) -> ComparedRow | None:
    return row if report.before else None


def _time_row(row: ComparedRow, report: UsageReport, filters: Filters) -> TableRow:
    # The first stretch begins, and the last one ends, where the report does.
    from_at = max(row.starts_at, report.from_at)
    to_at = report.to_at
    if report.granularity != "total":
        to_at = min(next_bucket(row.starts_at, report.granularity), report.to_at)
    return TableRow(
        label_of(row.starts_at, report.granularity),
        row.now,
        compared=_if_compared(report, row),
        events_url=usage_addresses.events(from_at=from_at, to_at=to_at, filters=filters)
        if row.now.events
        else "",
    )


def _group_row(row: ComparedRow, report: UsageReport, query: QueryDict, filters: Filters) -> TableRow:
    part = row.parts[0]
    url = ""
    asked_id = _id_asked(part)
    if asked_id is not None:
        changes = {part.dimension: filter_texts.join([asked_id]), "group_by": NEXT_GROUP[part.dimension]}
        url = address(query, changes)
    return TableRow(
        part.label,
        row.now,
        url,
        _share(row.now, report),
        _if_compared(report, row),
        report.latency_of.get(row.parts, usage_files.NONE),
        events_of(row, report, filters),
    )


def _id_asked(part: Part) -> str | None:
    """Return what filters take for a part. Usage without a value is asked for by a word; that of others cannot be."""
    return part.id or (NOTHING if part.label == DIMENSIONS[part.dimension].nothing else None)


def events_of(row: ComparedRow, report: UsageReport, filters: Filters) -> str:
    """Return the address of the events of a group; empty where there are none, or it is not told what they are of."""
    part = row.parts[0]
    asked_id = _id_asked(part)
    if asked_id is None or not row.now.events:
        return ""
    narrowed = {**filters, part.dimension: (asked_id,)}
    return usage_addresses.events(from_at=report.from_at, to_at=report.to_at, filters=narrowed)


def _values(report: UsageReport, measure: str) -> list[Value]:
    return [_value(row.measures, measure) for row in report.over_time]


def _line_before(report: UsageReport, measure: str) -> list[Series]:
    """Draw the earlier period over the same stretches; it may have one more or less."""
    if report.before is None:
        return []
    values: list[Value | None] = [*_values(report.before, measure)]
    stretches = len(list(report.stretches()))
    padded = [*values[:stretches], *[None] * (stretches - len(values))]
    return [Series("Before", padded, tone="neutral")]


def _share(measures: Measures, report: UsageReport) -> Decimal | None:
    return measures.cost / report.totals.cost if report.totals.cost else None


def _stacked(report: UsageReport, measure: str) -> list[Series]:
    """Make one series for each of the largest groups, and one of all others."""
    largest = sorted(report.folded, key=lambda row: -_value(row.measures, measure))
    several = len(largest) > MOST_SERIES
    named = [row.parts for row in largest[: MOST_SERIES - 1 if several else MOST_SERIES]]
    values: dict[tuple[object, ...], dict[datetime, Value]] = {parts: {} for parts in named}
    others: dict[datetime, Value] = {}
    for row in report.rows:
        of_group = values.get(row.parts, others)
        of_group[row.starts_at] = of_group.get(row.starts_at, 0) + _value(row.measures, measure)
    stretches = list(report.stretches())
    series = [Series(parts[0].label, _over(stretches, values[parts])) for parts in named]
    if several:
        series.append(Series(f"{len(largest) - len(named)} others", _over(stretches, others)))
    return series


def _over(stretches: Sequence[datetime], values: Mapping[datetime, Value]) -> list[Value]:
    return [values.get(start, 0) for start in stretches]


def _value(measures: Measures, measure: str) -> Value:
    value: Value = getattr(measures, measure)
    return value
