"""What a chart says: its numbers, the title of each point, and the sentence that stands beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marketplace.core.charts.shapes import Series, Value


@dataclass(frozen=True)
class Wording:
    """How a chart talks: numbers, the heading of the labels, whether adding up makes sense."""

    format_value: Callable[[Value], str] = str
    format_tick: Callable[[Value], str] | None = None
    label_heading: str = "Day"
    has_total: bool = False

    def cell(self, value: Value | None) -> str:
        return "–" if value is None else self.format_value(value)

    def tick(self, value: Value) -> str:
        return (self.format_tick or self.format_value)(value)

    def total(self, one: Series) -> str:
        known = one.known()
        # Start from the first value, so that integer minor units stay integers.
        return self.format_value(sum(known[1:], known[0])) if known else "–"

    def latest(self, one: Series) -> str:
        known = one.known()
        return self.format_value(known[-1]) if known else "–"


def describe(labels: Sequence[str], series: Sequence[Series], wording: Wording) -> str:
    """Say in one sentence what a chart shows: the span, and totals or the latest value with its extremes."""
    if not labels or not any(one.known() for one in series):
        return "No data in this period."
    span = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    if len(series) == 1:
        return f"{series[0].label}, {span}: {_extremes(labels, series[0], wording)}."
    value_of = wording.total if wording.has_total else wording.latest
    parts = ", ".join(f"{one.label} {value_of(one)}" for one in series)
    return f"{span}, {'in total' if wording.has_total else 'latest'}: {parts}."


def _extremes(labels: Sequence[str], one: Series, wording: Wording) -> str:
    known = [(value, label) for value, label in zip(one.values, labels, strict=True) if value is not None]
    high, low = max(known, key=_value_of), min(known, key=_value_of)
    first = f"{wording.total(one)} in total" if wording.has_total else f"latest {wording.latest(one)}"
    if len(known) == 1:
        return first
    if high[0] == low[0]:
        return f"{first}, {wording.cell(high[0])} throughout"
    return f"{first}, highest {wording.cell(high[0])} ({high[1]}), lowest {wording.cell(low[0])} ({low[1]})"


def _value_of(pair: tuple[Value, str]) -> Value:
    return pair[0]


def point_title(label: str, series: Sequence[Series], index: int, wording: Wording) -> str:
    if len(series) == 1:
        return f"{label}: {_point_text(series[0], index, wording)}"
    parts = (f"{one.label} {_point_text(one, index, wording)}" for one in series)
    return f"{label}: {', '.join(parts)}"


def _point_text(one: Series, index: int, wording: Wording) -> str:
    is_estimate = one.estimated_from is not None and index >= one.estimated_from
    return wording.cell(one.values[index]) + (" (estimate)" if is_estimate else "")
