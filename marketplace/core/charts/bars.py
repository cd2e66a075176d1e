"""Bars over labels; several series are stacked."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from marketplace.core.charts.assembly import assemble, axis_labels, point
from marketplace.core.charts.scale import Scale, scale_for
from marketplace.core.charts.shapes import (
    Bar,
    Chart,
    DrawnSeries,
    Reference,
    Series,
    Value,
    percent,
    pixels,
    series_css,
)
from marketplace.core.charts.words import Wording, point_title

WIDEST_BAR_SHARE = Decimal("0.68")
WIDEST_BAR = Decimal(7)


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
    wording = Wording(format_value, format_tick, label_heading, has_total)
    extent = [end for index in range(len(labels)) for end in _stack_ends(series, index)]
    scale = scale_for([*extent, *(reference.value for reference in references)], height=height)
    slot = Decimal(100) / max(len(labels), 1)
    at = [slot * index + slot / 2 for index in range(len(labels))]
    width = min(slot * WIDEST_BAR_SHARE, WIDEST_BAR)
    points = tuple(
        point(
            at[index],
            slot * index,
            slot,
            title=point_title(label, series, index, wording),
            bars=_bars(series, index, at[index], width, scale),
        )
        for index, label in enumerate(labels)
    )
    drawn = tuple(
        DrawnSeries(one.label, series_css(one, number), number, wording.total(one))
        for number, one in enumerate(series, start=1)
    )
    axis = axis_labels(labels, at, is_edge_aligned=False)
    return assemble(
        "bar", labels, series, scale, wording, drawn=drawn, points=points, axis=axis, references=references
    )


def _bars(
    series: Sequence[Series], index: int, center: Decimal, width: Decimal, scale: Scale
) -> tuple[Bar, ...]:
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
                x=percent(center - width / 2),
                width=percent(width),
                y=pixels(edges[0]),
                height=pixels(max(edges[1] - edges[0], Decimal(1))),
                css=series_css(one, number),
            )
        )
    return tuple(bars)


def _stack_ends(series: Sequence[Series], index: int) -> tuple[Decimal, Decimal]:
    values = [Decimal(one.values[index] or 0) for one in series]
    zero = Decimal(0)
    return sum((v for v in values if v > 0), zero), sum((v for v in values if v < 0), zero)
