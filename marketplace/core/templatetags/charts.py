"""The sparkline tag, and what `<c-chart :chart="chart" />` draws of charts that are made in the view.

Points and rows are many and all alike: written here, they take a tenth of the time that a loop in a template does.
"""

from collections.abc import Sequence
from decimal import Decimal

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from marketplace.core.charts import Chart, Sparkline
from marketplace.core.charts import sparkline as lay_out
from marketplace.core.charts.shapes import Point

register = template.Library()


@register.inclusion_tag("core/_sparkline.html")
def sparkline(
    values: Sequence[Decimal | int | None], title: str, tone: str = ""
) -> dict[str, Sparkline | str]:
    """Draw a small line without axes; `title` says what it shows, because a screen reader hears only that."""
    return {"spark": lay_out(values, title=title), "tone": tone}


@register.simple_tag
def chart_points(chart: Chart) -> SafeString:
    """Draw what stands at each place of the horizontal axis: bars or dots, and what is said of them."""
    return mark_safe("".join(_point(one, chart) for one in chart.points))  # each text is escaped


@register.simple_tag
def chart_rows(chart: Chart) -> SafeString:
    """Write the body of the table that stands beside the chart."""
    rows = (
        f"<tr><td>{escape(row.label)}</td>"
        + "".join(f'<td class="num">{escape(cell)}</td>' for cell in row.cells)
        + "</tr>"
        for row in chart.rows
    )
    return mark_safe("".join(rows))  # each text is escaped


def _point(one: Point, chart: Chart) -> str:
    title = escape(one.title)
    bars = "".join(
        f'<g class="{bar.css}"><rect class="chart-bar" x="{bar.x}" width="{bar.width}" y="{bar.y}" height="{bar.height}"/></g>'
        for bar in one.bars
    )
    return (
        f'<g class="point"><title>{title}</title>'
        f'<rect class="hit" x="{one.hit_x}" y="0" width="{one.hit_width}" height="{chart.plot_bottom}"/>'
        f'{bars}{_dots(one, chart)}<text class="readout" x="100%" y="14" text-anchor="end">{title}</text></g>'
    )


def _dots(one: Point, chart: Chart) -> str:
    if not one.dots:
        return ""
    guide = f'<line class="guide" x1="{one.x}" x2="{one.x}" y1="{chart.plot_top}" y2="{chart.plot_bottom}"/>'
    return guide + "".join(
        f'<g class="{dot.css}"><circle class="dot" cx="{one.x}" cy="{dot.y}" r="4"/></g>' for dot in one.dots
    )
