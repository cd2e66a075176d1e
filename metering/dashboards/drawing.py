"""The charts of a page of one thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any

from marketplace.core.charts import Chart, Series, Value, bar_chart, line_chart
from marketplace.core.templatetags.money import amount, compact, number
from marketplace.core.templatetags.ui import duration
from metering.comparing import Change
from metering.dashboards.boards import Board
from metering.latencies import PERCENTILES
from metering.measures import Measures
from metering.usage_pages import label_of, tick_formatter

# Tokens of each class as they are charged: cached and cache-write tokens are parts of input, reasoning tokens of output.
TOKEN_CLASSES: dict[str, Callable[[Measures], int]] = {
    "Input": lambda one: one.input_tokens - one.cached_input_tokens - one.cache_write_tokens,
    "Cached input": lambda one: one.cached_input_tokens,
    "Cache write": lambda one: one.cache_write_tokens,
    "Output": lambda one: one.output_tokens - one.reasoning_tokens,
    "Reasoning": lambda one: one.reasoning_tokens,
}


@dataclass(frozen=True)
class Figure:
    """A number of the head of a page: what it is, how it changed, and how it went by day."""

    label: str
    value: str
    change: Change
    hint: str
    values: Sequence[Value | None]
    url: str = ""


def figures(board: Board, *, currency: str, explore_url: str) -> list[Figure]:
    """List spend, calls, tokens, cost per 1,000 calls and latency."""
    total, now = board.total, board.total.now
    days = board.report.over_time
    latency = board.latency
    return [
        Figure(
            "Spend", amount(now.cost, currency), total.cost, f"{amount(total.before.cost, currency)} before",
            [row.measures.cost for row in days], explore_url,
        ),
        Figure(
            "Calls", number(now.requests), total.requests, f"{compact(total.before.requests)} before",
            [row.measures.requests for row in days], f"{explore_url}&measure=requests",
        ),
        Figure(
            "Tokens", compact(now.tokens), total.tokens,
            f"{compact(now.input_tokens)} in, {compact(now.output_tokens)} out",
            [row.measures.tokens for row in days], f"{explore_url}&measure=tokens",
        ),
        Figure(
            "Cost per 1,000 calls", amount(now.cost_per_1000, currency), total.cost_per_1000,
            f"{amount(total.before.cost_per_1000, currency)} before", [row.measures.cost_per_1000 for row in days],
        ),
        Figure(
            "Latency, p50", duration(latency.p50), board.latency_change(50),
            f"p95 {duration(latency.p95)}, p99 {duration(latency.p99)}",
            [one.p50 for one in board.report.latency_over_time],
        ),
    ]  # fmt: skip


def month_end(board: Board, *, currency: str) -> Figure | None:
    """Say what the month will have cost, in three digits: it is an estimate."""
    if board.forecast is None:
        return None
    month = board.forecast.month
    low, middle, high = (amount(_about(value), currency) for value in (month.low, month.middle, month.high))
    return Figure("Month end, estimated", middle, Change(None, None), f"between {low} and {high}", [])


def charts(board: Board, *, currency: str) -> dict[str, Chart]:
    """Draw spend with its forecast, tokens by class, latency, and cost per 1,000 calls, by day."""
    report = board.report
    labels = [label_of(start, "day") for start in report.stretches()]
    days = [row.measures for row in report.over_time]
    tokens = [Series(name, [of(one) for one in days]) for name, of in TOKEN_CLASSES.items()]
    per_1000 = [Series("Cost per 1,000 calls", [one.cost_per_1000 for one in days])]
    latency = [
        Series(f"p{percent}", [one.percentile(percent) for one in report.latency_over_time])
        for percent in PERCENTILES
    ]
    return {
        "spend": _spend(board, labels, [one.cost for one in days], currency=currency),
        "tokens": bar_chart(
            labels,
            [one for one in tokens if any(one.values)] or tokens[:1],
            format_value=number,
            format_tick=compact,
        ),
        "latency": line_chart(labels, latency, format_value=_duration, format_tick=_duration),
        "per_1000": line_chart(labels, per_1000, **_money(currency)),
    }


def _spend(board: Board, labels: list[str], values: list[Value], *, currency: str) -> Chart:
    """Draw spend by day, from today on as it is expected to the end of the month."""
    forecast = board.forecast
    if forecast is None:
        return line_chart(labels, [Series("Spend", values)], has_total=True, **_money(currency))
    today = len(labels) - 1
    later = [forecast.today + timedelta(days=place) for place in range(1, len(forecast.days))]
    labels = [*labels, *(f"{day:%-d %b}" for day in later)]
    expected = [_shown(day.middle) for day in forecast.days]
    series = [Series("Spend, from today on expected", [*values[:today], *expected], estimated_from=today)]
    return line_chart(labels, series, **_money(currency))


def _money(currency: str) -> dict[str, Any]:
    return {
        "format_value": lambda value: amount(value, currency),
        "format_tick": tick_formatter("cost", currency),
    }


def _shown(value: Decimal) -> Decimal:
    """Cut an estimate to the digits that an amount is shown with at most."""
    return round(value, 12)


def _about(value: Decimal) -> Decimal:
    return Context(prec=3).create_decimal(value)


def _duration(value: Value) -> str:
    return duration(int(value))
