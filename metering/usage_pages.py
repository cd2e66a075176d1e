"""Usage reports drawn for pages: charts, tables and the addresses of what a number is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from marketplace.core.charts import Chart, Series, Value, bar_chart, line_chart
from marketplace.core.money import format_amount
from marketplace.core.templatetags.money import amount, compact, number, shorten
from metering.dimensions import DIMENSIONS, NOTHING
from metering.measures import Measures, total
from metering.usage_reports import UsageReport, UsageRow, next_bucket

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
    events_url: str = ""


def chart_of(report: UsageReport, *, measure: str, currency: str) -> Chart:
    """Draw one measure over time: a line, or stacked bars when the report is grouped."""
    labels = [label_of(start, report.granularity) for start in report.stretches()]
    heading = HEADINGS[report.granularity]
    if not report.group_by:
        values = [_value(row.measures, measure) for row in report.over_time]
        draw: Callable[..., Chart] = line_chart
        series = [Series(TITLES[measure], values)]
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


def table_of(report: UsageReport, *, query: QueryDict, filters: Mapping[str, str]) -> list[TableRow]:
    """List the groups, the dearest first; what is beyond a hundred is one row, so that rows and totals agree.

    Without a grouping: the stretches of time, the newest first. ``filters`` are those of the report.
    """
    if not report.group_by:
        rows = [row for row in reversed(report.over_time) if row.measures.events]
        return [_time_row(row, report, filters) for row in rows]
    shown, rest = report.folded[:MOST_ROWS], report.folded[MOST_ROWS:]
    table = [_group_row(row, report, query, filters) for row in shown]
    if rest:
        others = total(row.measures for row in rest)
        table.append(TableRow(f"{len(rest):,} more", others, share=_share(others, report)))
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


def events_url(*, from_at: datetime, to_at: datetime, filters: Mapping[str, str]) -> str:
    """Write the address of the events behind a number."""
    asked = {"from": instant(from_at), "to": instant(to_at), **filters}
    return f"{reverse('metering:events')}?{urlencode(asked)}"


def instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _time_row(row: UsageRow, report: UsageReport, filters: Mapping[str, str]) -> TableRow:
    # The first stretch begins, and the last one ends, where the report does.
    from_at = max(row.starts_at, report.from_at)
    to_at = report.to_at
    if report.granularity != "total":
        to_at = min(next_bucket(row.starts_at, report.granularity), report.to_at)
    down = events_url(from_at=from_at, to_at=to_at, filters=filters)
    return TableRow(label_of(row.starts_at, report.granularity), row.measures, events_url=down)


def _group_row(row: UsageRow, report: UsageReport, query: QueryDict, filters: Mapping[str, str]) -> TableRow:
    part = row.parts[0]
    url = down = ""
    # Usage without a value is asked for by a word; that of others, who are not shown, cannot be.
    asked_id = part.id or (NOTHING if part.label == DIMENSIONS[part.dimension].nothing else None)
    if asked_id is not None:
        url = address(query, {part.dimension: asked_id, "group_by": NEXT_GROUP[part.dimension]})
        asked = {**filters, part.dimension: asked_id}
        down = events_url(from_at=report.from_at, to_at=report.to_at, filters=asked)
    return TableRow(part.label, row.measures, url, _share(row.measures, report), down)


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
