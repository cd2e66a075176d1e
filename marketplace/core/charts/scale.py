"""The vertical axis: round steps, from zero or below."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from marketplace.core.charts.shapes import READOUT_HEIGHT, Value

MAX_STEPS = 4
_NICE_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


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

    def steps(self) -> list[Value]:
        """List the values of the grid lines, highest first; whole numbers come as int."""
        count = int((self.high - self.low) / self.step)
        steps = [self.high - index * self.step for index in range(count + 1)]
        if all(step == step.to_integral_value() for step in steps):
            return [int(step) for step in steps]
        return [Decimal(f"{step.normalize():f}") for step in steps]


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
