"""Charts as geometry: values in, coordinates and words out. Pure; templates draw them as inline SVG.

Horizontal positions are percentages, so that a chart stretches without stretching its text; vertical ones are pixels.
A line cannot be given in percentages: its path lives in a box `PATH_WIDTH` wide that the page stretches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

Value = Decimal | int

PATH_WIDTH = 1000
READOUT_HEIGHT = 28
LABEL_HEIGHT = 24
MAX_STEPS = 4
MAX_X_LABELS = 7
_NICE_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(frozen=True)
class Series:
    """One line, or one layer of every bar. `values` are as long as the chart's labels; None is a gap.

    `tone` is a semantic color (ok, warn, danger, info, neutral) in place of the palette;
    from index `estimated_from` on, values are estimates and drawn dashed.
    """

    label: str
    values: Sequence[Value | None]
    tone: str = ""
    estimated_from: int | None = None


@dataclass(frozen=True)
class Reference:
    """A horizontal line to compare with, such as a budget."""

    label: str
    value: Value


@dataclass(frozen=True)
class Tick:
    y: str
    label: str


@dataclass(frozen=True)
class AxisLabel:
    x: str
    text: str
    anchor: str
    is_minor: bool


@dataclass(frozen=True)
class Dot:
    y: str
    css: str


@dataclass(frozen=True)
class Bar:
    x: str
    width: str
    y: str
    height: str
    css: str


@dataclass(frozen=True)
class Point:
    """Everything at one place on the horizontal axis: where the pointer hits, what is drawn, what is said."""

    x: str
    hit_x: str
    hit_width: str
    title: str
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class DrawnSeries:
    label: str
    css: str
    number: int
    total: str
    path: str = ""
    estimate_path: str = ""
    area: str = ""


@dataclass(frozen=True)
class TableRow:
    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart ready to draw, with the table and the sentence that stand beside it."""

    kind: str
    label_heading: str
    series: tuple[DrawnSeries, ...]
    points: tuple[Point, ...]
    ticks: tuple[Tick, ...]
    axis_labels: tuple[AxisLabel, ...]
    references: tuple[Tick, ...]
    rows: tuple[TableRow, ...]
    totals: tuple[str, ...]
    summary: str
    plot_height: int
    baseline_y: str
    path_width: int = PATH_WIDTH
    plot_top: int = READOUT_HEIGHT
    has_legend: bool = field(default=False)

    @property
    def plot_bottom(self) -> int:
        return self.plot_top + self.plot_height

    @property
    def height(self) -> int:
        return self.plot_bottom + LABEL_HEIGHT

    @property
    def label_y(self) -> int:
        return self.height - 4


@dataclass(frozen=True)
class Sparkline:
    path: str
    area: str
    last_y: str
    title: str


@dataclass(frozen=True)
class Scale:
    """A vertical axis from `low` to `high` in whole steps, mapped to pixels from the top of the plot."""

    low: Decimal
    high: Decimal
    step: Decimal
    height: int
    top: int

    def y(self, value: Value) -> Decimal:
        """Give the distance from the top edge of the drawing in pixels."""
        return self.top + (self.high - value) * self.height / (self.high - self.low)

    def steps(self) -> list[Decimal]:
        """List the values of the grid lines, highest first."""
        count = int((self.high - self.low) / self.step)
        return [self.high - index * self.step for index in range(count + 1)]


def line_chart(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    format_value: Callable[[Value], str] = str,
    format_tick: Callable[[Value], str] | None = None,
    references: Sequence[Reference] = (),
    label_heading: str = "Day",
    has_total: bool = False,
    height: int = 180,
) -> Chart:
    """Lay out one or several lines over the same labels."""
    extent = [value for one in series for value in one.values if value is not None]
    scale = scale_for([*extent, *(reference.value for reference in references)], height=height)
    at = [_line_x(index, len(labels)) for index in range(len(labels))]
    drawn = tuple(
        _drawn_line(one, number, at, scale, _total_text(one, format_value))
        for number, one in enumerate(series, start=1)
    )
    points = tuple(
        Point(
            x=_percent(at[index]),
            dots=_dots(series, index, scale),
            title=_title(label, series, index, format_value),
            **_line_hit(index, at),
        )
        for index, label in enumerate(labels)
    )
    return Chart(
        kind="line",
        series=drawn,
        points=points,
        axis_labels=_axis_labels(labels, at, is_edge_aligned=True),
        has_legend=len(series) > 1,
        **_frame(labels, series, scale, references, format_value, format_tick, label_heading, has_total),
    )


def bar_chart(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    format_value: Callable[[Value], str] = str,
    format_tick: Callable[[Value], str] | None = None,
    references: Sequence[Reference] = (),
    label_heading: str = "Day",
    has_total: bool = True,
    height: int = 180,
) -> Chart:
    """Lay out bars; several series are stacked, negative values downwards from zero."""
    extent = [total for index in range(len(labels)) for total in _stack_ends(series, index)]
    scale = scale_for([*extent, *(reference.value for reference in references)], height=height)
    slot = Decimal(100) / max(len(labels), 1)
    at = [slot * index + slot / 2 for index in range(len(labels))]
    points = tuple(
        Point(
            x=_percent(at[index]),
            hit_x=_percent(slot * index),
            hit_width=_percent(slot),
            bars=_bars(series, index, at[index], _bar_width(slot), scale),
            title=_title(label, series, index, format_value),
        )
        for index, label in enumerate(labels)
    )
    return Chart(
        kind="bar",
        series=tuple(
            DrawnSeries(one.label, _css(one, number), number, _total_text(one, format_value))
            for number, one in enumerate(series, start=1)
        ),
        points=points,
        axis_labels=_axis_labels(labels, at, is_edge_aligned=False),
        has_legend=len(series) > 1,
        **_frame(labels, series, scale, references, format_value, format_tick, label_heading, has_total),
    )


def sparkline(values: Sequence[Value | None], *, title: str = "", height: int = 32) -> Sparkline:
    """Lay out a line without axes in a box 100 wide and `height` high; fewer than two values draw nothing."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Sparkline("", "", "", title)
    low, high = min(Decimal(0), *map(Decimal, known)), max(map(Decimal, known))
    scale = Scale(low, high if high > low else low + 1, Decimal(1), height - 4, 2)
    at = [_line_x(index, len(values)) for index in range(len(values))]
    places = [None if value is None else (x, scale.y(value)) for x, value in zip(at, values, strict=True)]
    return Sparkline(_path(places), _area(places, Decimal(height)), _pixels(scale.y(known[-1])), title)


def scale_for(values: Sequence[Value], *, height: int) -> Scale:
    """Choose an axis that starts at zero (or below), ends on a round number and has at most five grid lines.

    Values up to 87 give 0, 25, 50, 75, 100; whole numbers never get fractions between them.
    """
    numbers = [Decimal(value) for value in values]
    low, high = min([Decimal(0), *numbers]), max([Decimal(0), *numbers])
    if low == high:
        high = Decimal(1)
    is_whole = all(number == number.to_integral_value() for number in numbers)
    step = _nice_step((high - low) / MAX_STEPS, is_whole=is_whole)
    bottom = (low / step).to_integral_value(ROUND_FLOOR) * step
    top = (high / step).to_integral_value(ROUND_CEILING) * step
    return Scale(bottom, top, step, height, READOUT_HEIGHT)


def _nice_step(at_least: Decimal, *, is_whole: bool) -> Decimal:
    magnitude = Decimal(1).scaleb(at_least.adjusted())
    for factor in _NICE_STEPS:
        step = factor * magnitude
        if step >= at_least and not (is_whole and step != step.to_integral_value()):
            return step
    return max(Decimal(10) * magnitude, Decimal(1))


def _line_x(index: int, count: int) -> Decimal:
    return Decimal(50) if count == 1 else Decimal(100) * index / (count - 1)


def _line_hit(index: int, at: Sequence[Decimal]) -> dict[str, str]:
    left = (at[index - 1] + at[index]) / 2 if index else Decimal(0)
    right = (at[index] + at[index + 1]) / 2 if index + 1 < len(at) else Decimal(100)
    return {"hit_x": _percent(left), "hit_width": _percent(right - left)}


def _drawn_line(one: Series, number: int, at: Sequence[Decimal], scale: Scale, total: str) -> DrawnSeries:
    # The path's own box starts at the plot, so the readout strip above it is taken off again.
    places = [
        None if value is None else (x * PATH_WIDTH / 100, scale.y(value) - scale.top)
        for x, value in zip(at, one.values, strict=True)
    ]
    split = len(places) if one.estimated_from is None else one.estimated_from
    return DrawnSeries(
        label=one.label,
        css=_css(one, number),
        number=number,
        total=total,
        path=_path(places[:split]),
        # The dashed part starts at the last known point, or a gap would show between the two.
        estimate_path=_path(places[max(split - 1, 0) :]) if split < len(places) else "",
        area=_area(places, scale.y(max(scale.low, Decimal(0))) - scale.top),
    )


def _path(places: Sequence[tuple[Decimal, Decimal] | None]) -> str:
    commands, is_drawing = [], False
    for place in places:
        if place is not None:
            commands.append(f"{'L' if is_drawing else 'M'}{_pixels(place[0])} {_pixels(place[1])}")
        is_drawing = place is not None
    return "".join(commands)


def _area(places: Sequence[tuple[Decimal, Decimal] | None], baseline: Decimal) -> str:
    pieces: list[str] = []
    run: list[tuple[Decimal, Decimal]] = []
    for place in [*places, None]:
        if place is not None:
            run.append(place)
            continue
        if len(run) > 1:
            floor = _pixels(baseline)
            pieces.append(f"{_path(run)}L{_pixels(run[-1][0])} {floor}L{_pixels(run[0][0])} {floor}Z")
        run = []
    return "".join(pieces)


def _dots(series: Sequence[Series], index: int, scale: Scale) -> tuple[Dot, ...]:
    return tuple(
        Dot(_pixels(scale.y(value)), _css(one, number))
        for number, one in enumerate(series, start=1)
        if (value := one.values[index]) is not None
    )


def _bars(series: Sequence[Series], index: int, center: Decimal, width: Decimal, scale: Scale) -> tuple[Bar, ...]:
    bars, above, below = [], Decimal(0), Decimal(0)
    for number, one in enumerate(series, start=1):
        value = one.values[index]
        if not value:
            continue
        start = above if value > 0 else below
        edges = sorted((scale.y(start), scale.y(start + value)))
        above, below = (start + value, below) if value > 0 else (above, start + value)
        bars.append(
            Bar(
                x=_percent(center - width / 2),
                width=_percent(width),
                y=_pixels(edges[0]),
                height=_pixels(max(edges[1] - edges[0], Decimal(1))),
                css=_css(one, number),
            )
        )
    return tuple(bars)


def _bar_width(slot: Decimal) -> Decimal:
    return min(slot * Decimal("0.68"), Decimal(7))


def _stack_ends(series: Sequence[Series], index: int) -> tuple[Decimal, Decimal]:
    values = [Decimal(one.values[index] or 0) for one in series]
    zero = Decimal(0)
    return sum((v for v in values if v > 0), zero), sum((v for v in values if v < 0), zero)


def _axis_labels(labels: Sequence[str], at: Sequence[Decimal], *, is_edge_aligned: bool) -> tuple[AxisLabel, ...]:
    """Pick up to `MAX_X_LABELS` labels at even distance; every second one can be left out on a narrow page."""
    last = len(labels) - 1
    every = max(1, -(-len(labels) // MAX_X_LABELS))
    anchors = {0: "start", last: "end"} if is_edge_aligned and last > 0 else {}
    return tuple(
        AxisLabel(_percent(at[index]), labels[index], anchors.get(index, "middle"), bool(place % 2))
        for place, index in enumerate(range(0, len(labels), every))
    )


def _frame(
    labels: Sequence[str],
    series: Sequence[Series],
    scale: Scale,
    references: Sequence[Reference],
    format_value: Callable[[Value], str],
    format_tick: Callable[[Value], str] | None,
    label_heading: str,
    has_total: bool,
) -> dict[str, object]:
    tick_text = format_tick or format_value
    return {
        "label_heading": label_heading,
        "ticks": tuple(Tick(_pixels(scale.y(step)), tick_text(step)) for step in scale.steps()),
        "references": tuple(Tick(_pixels(scale.y(line.value)), line.label) for line in references),
        "rows": tuple(
            TableRow(label, tuple(_cell(one.values[index], format_value) for one in series))
            for index, label in enumerate(labels)
        ),
        "totals": tuple(_total_text(one, format_value) for one in series) if has_total else (),
        "summary": describe(labels, series, format_value=format_value, has_total=has_total),
        "plot_height": scale.height,
        "baseline_y": _pixels(scale.y(max(scale.low, Decimal(0)))),
    }


def describe(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    format_value: Callable[[Value], str] = str,
    has_total: bool = False,
) -> str:
    """Say in one sentence what a chart shows: the span, and totals or the last value with its extremes."""
    if not labels or not any(value is not None for one in series for value in one.values):
        return "No data in this period."
    span = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    if len(series) == 1:
        return f"{series[0].label}, {span}: {_extremes(labels, series[0], format_value, has_total=has_total)}."
    parts = ", ".join(
        f"{one.label} {_total_text(one, format_value) if has_total else _last_text(one, format_value)}"
        for one in series
    )
    return f"{span}, {'in total' if has_total else 'latest'}: {parts}."


def _extremes(
    labels: Sequence[str], one: Series, format_value: Callable[[Value], str], *, has_total: bool
) -> str:
    known = [(value, label) for value, label in zip(one.values, labels, strict=True) if value is not None]
    high, low = max(known, key=lambda pair: pair[0]), min(known, key=lambda pair: pair[0])
    first = f"{_total_text(one, format_value)} in total" if has_total else f"latest {format_value(known[-1][0])}"
    if high[0] == low[0]:
        return f"{first}, {format_value(high[0])} throughout" if len(known) > 1 else first
    return f"{first}, highest {format_value(high[0])} ({high[1]}), lowest {format_value(low[0])} ({low[1]})"


def _title(label: str, series: Sequence[Series], index: int, format_value: Callable[[Value], str]) -> str:
    if len(series) == 1:
        return f"{label}: {_point_text(series[0], index, format_value)}"
    parts = (f"{one.label} {_point_text(one, index, format_value)}" for one in series)
    return f"{label}: {', '.join(parts)}"


def _point_text(one: Series, index: int, format_value: Callable[[Value], str]) -> str:
    is_estimate = one.estimated_from is not None and index >= one.estimated_from
    return _cell(one.values[index], format_value) + (" (estimate)" if is_estimate else "")


def _cell(value: Value | None, format_value: Callable[[Value], str]) -> str:
    return "–" if value is None else format_value(value)


def _total_text(one: Series, format_value: Callable[[Value], str]) -> str:
    known = [value for value in one.values if value is not None]
    # Start from the first value, so that integer minor units stay integers.
    return format_value(sum(known[1:], known[0])) if known else "–"


def _last_text(one: Series, format_value: Callable[[Value], str]) -> str:
    return next((format_value(value) for value in reversed(one.values) if value is not None), "–")


def _css(one: Series, number: int) -> str:
    return f"series tone-{one.tone}" if one.tone else f"series series-{(number - 1) % 6 + 1}"


def _percent(share: Decimal) -> str:
    return f"{_trimmed(share, 2)}%"


def _pixels(value: Decimal) -> str:
    return _trimmed(value, 1)


def _trimmed(value: Decimal, places: int) -> str:
    text = f"{value.quantize(Decimal(1).scaleb(-places)):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
