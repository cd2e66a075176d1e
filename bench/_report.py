"""How a figure is told: beside its yardstick, measured in the same run, and the ratio of both."""

import statistics
from collections.abc import Sequence


def tell(name: str, value: float, unit: str, *, yardstick: float | None = None, of: str = "") -> None:
    """Print ``name value unit | yardstick value | ratio``."""
    line = f"{name} {value:,.6g} {unit}"
    if yardstick is not None:
        line += f" | {of} {yardstick:,.6g} | {value / yardstick:.2f}"
    print(line, flush=True)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
