"""What lines and bars have in common: points, labels, the table."""

from collections.abc import Sequence
from decimal import Decimal

from marketplace.core.charts.scale import Scale
from marketplace.core.charts.shapes import (
    AxisLabel,
    Bar,
    Chart,
    Dot,
    DrawnSeries,
    Point,
    Reference,
    Series,
    TableRow,
    Tick,
    percent,
    pixels,
)
from marketplace.core.charts.words import Wording, describe

MAX_X_LABELS = 7


def point(
    x: Decimal,
    hit_x: Decimal,
    hit_width: Decimal,
    *,
    title: str,
    dots: tuple[Dot, ...] = (),
    bars: tuple[Bar, ...] = (),
) -> Point:
    return Point(percent(x), percent(hit_x), percent(hit_width), title, dots, bars)


def axis_labels(
    labels: Sequence[str], at: Sequence[Decimal], *, is_edge_aligned: bool
) -> tuple[AxisLabel, ...]:
    """Pick up to `MAX_X_LABELS` labels at even distance; every second one may go on a narrow page."""
    last = len(labels) - 1
    every = max(1, -(-len(labels) // MAX_X_LABELS))
    anchors = {0: "start", last: "end"} if is_edge_aligned and last > 0 else {}
    return tuple(
        AxisLabel(percent(at[index]), labels[index], anchors.get(index, "middle"), bool(place % 2))
        for place, index in enumerate(range(0, len(labels), every))
    )


def assemble(
    kind: str,
    labels: Sequence[str],
    series: Sequence[Series],
    scale: Scale,
    wording: Wording,
    *,
    drawn: tuple[DrawnSeries, ...],
    points: tuple[Point, ...],
    axis: tuple[AxisLabel, ...],
    references: Sequence[Reference],
) -> Chart:
    return Chart(
        kind=kind,
        label_heading=wording.label_heading,
        series=drawn,
        points=points,
        ticks=tuple(Tick(pixels(scale.y(step)), wording.tick(step)) for step in scale.steps()),
        axis_labels=axis,
        references=tuple(Tick(pixels(scale.y(line.value)), line.label) for line in references),
        rows=tuple(
            TableRow(label, tuple(wording.cell(one.values[index]) for one in series))
            for index, label in enumerate(labels)
        ),
        totals=tuple(wording.total(one) for one in series) if wording.has_total else (),
        summary=describe(labels, series, wording),
        plot_height=scale.height,
        baseline_y=pixels(scale.y(0)),
    )
