"""The sparkline tag. Larger charts are made in the view and drawn by `<c-chart :chart="chart" />`."""

from collections.abc import Sequence
from decimal import Decimal

from django import template

from marketplace.core.charts import Sparkline
from marketplace.core.charts import sparkline as lay_out

register = template.Library()


@register.inclusion_tag("core/_sparkline.html")
def sparkline(
    values: Sequence[Decimal | int | None], title: str, tone: str = ""
) -> dict[str, Sparkline | str]:
    """Draw a small line without axes; `title` says what it shows, because a screen reader hears only that."""
    return {"spark": lay_out(values, title=title), "tone": tone}
