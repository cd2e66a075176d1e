"""Charts as geometry: values in, coordinates and words out. Pure; templates draw them as inline SVG."""

from marketplace.core.charts.bars import bar_chart
from marketplace.core.charts.lines import line_chart, sparkline
from marketplace.core.charts.shapes import Chart, Reference, Series, Sparkline, Value

__all__ = ["Chart", "Reference", "Series", "Sparkline", "Value", "bar_chart", "line_chart", "sparkline"]
