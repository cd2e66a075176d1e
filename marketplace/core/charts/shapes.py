"""What goes into a chart and what comes out, ready for a template.

Horizontal positions are percentages, so that a chart stretches without stretching its text; vertical ones
are pixels. A line cannot be given in percentages: its path lives in a stretched box `PATH_WIDTH` wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

Value = Decimal | int

PATH_WIDTH = 1000
READOUT_HEIGHT = 28
LABEL_HEIGHT = 24


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

    def known(self) -> list[Value]:
        """List the values without the gaps."""
        return [value for value in self.values if value is not None]


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

    @property
    def has_legend(self) -> bool:
        return len(self.series) > 1

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


def series_css(one: Series, number: int) -> str:
    """Give the classes that color a series: its own tone, else its place in the palette of six."""
    return f"series tone-{one.tone}" if one.tone else f"series series-{(number - 1) % 6 + 1}"


def percent(share: Decimal) -> str:
    """Write a horizontal position."""
    return f"{_trimmed(share, 2)}%"


def pixels(value: Decimal) -> str:
    """Write a vertical position."""
    return _trimmed(value, 1)


def _trimmed(value: Decimal, places: int) -> str:
    text = f"{value.quantize(Decimal(1).scaleb(-places)):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
