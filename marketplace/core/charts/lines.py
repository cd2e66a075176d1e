"""Lines over labels, and the small line without axes."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from marketplace.core.charts.assembly import assemble, axis_labels, point
from marketplace.core.charts.scale import Scale, scale_for
from marketplace.core.charts.shapes import (
    PATH_WIDTH,
    Chart,
    Dot,
    DrawnSeries,
    Reference,
    Series,
    Sparkline,
    Value,
    pixels,
    series_css,
)
from marketplace.core.charts.words import Wording, point_title


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
    wording = Wording(format_value, format_tick, label_heading, has_total)
    extent = [value for one in series for value in one.known()]
    scale = scale_for([*extent, *(reference.value for reference in references)], height=height)
    at = [_line_x(index, len(labels)) for index in range(len(labels))]
    points = tuple(
        point(
            at[index],
            *_line_hit(index, at),
            title=point_title(label, series, index, wording),
            dots=_dots(series, index, scale),
        )
        for index, label in enumerate(labels)
    )
    drawn = tuple(_drawn_line(one, number, at, scale, wording) for number, one in enumerate(series, start=1))
    axis = axis_labels(labels, at, is_edge_aligned=True)
    return assemble(
        "line", labels, series, scale, wording, drawn=drawn, points=points, axis=axis, references=references
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
    return Sparkline(_path(places), _area(places, Decimal(height)), pixels(scale.y(known[-1])), title)


def _line_x(index: int, count: int) -> Decimal:
    return Decimal(50) if count == 1 else Decimal(100) * index / (count - 1)


def _line_hit(index: int, at: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Give left edge and width of the column in which the pointer means this point."""
    left = (at[index - 1] + at[index]) / 2 if index else Decimal(0)
    right = (at[index] + at[index + 1]) / 2 if index + 1 < len(at) else Decimal(100)
    return left, right - left


def _drawn_line(
    one: Series, number: int, at: Sequence[Decimal], scale: Scale, wording: Wording
) -> DrawnSeries:
    # The path's own box starts at the plot, so the readout strip above it is taken off again.
    places = [
        None if value is None else (x * PATH_WIDTH / 100, scale.y(value) - scale.top)
        for x, value in zip(at, one.values, strict=True)
    ]
    split = len(places) if one.estimated_from is None else one.estimated_from
    return DrawnSeries(
        label=one.label,
        css=series_css(one, number),
        number=number,
        total=wording.total(one),
        path=_path(places[:split]),
        # The dashed part starts at the last known point, or a gap would show between the two.
        estimate_path=_path(places[max(split - 1, 0) :]) if split < len(places) else "",
        area=_area(places, scale.y(0) - scale.top),
    )


def _path(places: Sequence[tuple[Decimal, Decimal] | None]) -> str:
    commands, is_drawing = [], False
    for place in places:
        if place is not None:
            commands.append(f"{'L' if is_drawing else 'M'}{pixels(place[0])} {pixels(place[1])}")
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
            floor = pixels(baseline)
            pieces.append(f"{_path(run)}L{pixels(run[-1][0])} {floor}L{pixels(run[0][0])} {floor}Z")
        run = []
    return "".join(pieces)


def _dots(series: Sequence[Series], index: int, scale: Scale) -> tuple[Dot, ...]:
    return tuple(
        Dot(pixels(scale.y(value)), series_css(one, number))
        for number, one in enumerate(series, start=1)
        if (value := one.values[index]) is not None
    )
