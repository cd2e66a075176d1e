"""Splitting a shared amount among cost centers, as a calculation: parts always sum to the whole. Knows no framework."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from marketplace.core.money import allocate

Method = Literal["even", "fixed", "proportional", "metric"]
ZERO = Decimal(0)
HUNDRED = Decimal(100)
# In whose name the figures of ``proportional`` are kept beside those of metrics.
DIRECT = "direct"
Figures = Mapping[str, Mapping[int, Decimal]]


@dataclass(frozen=True)
class Rule:
    """How something is split; ``percentages`` by cost center, only for fixed ones."""

    method: Method
    metric: str = ""
    percentages: tuple[tuple[int, Decimal], ...] = ()

    @property
    def measured_by(self) -> str:
        """Name the figures that it weighs by; nothing for even and fixed ones."""
        return {"proportional": DIRECT, "metric": self.metric}.get(self.method, "")


@dataclass(frozen=True)
class Part:
    """What one cost center bears, its weight and the sum of all weights; without a cost center, what a rule leaves."""

    cost_center_id: int | None
    amount_minor: int
    weight: Decimal
    weights_total: Decimal
    note: str = ""


def split(amount_minor: int, rule: Rule, *, receivers: Sequence[int], figures: Figures) -> list[Part]:
    """Split minor units by largest remainder: 100.00 over 1:1:1 is 33.34, 33.33, 33.33.

    What is measured below nothing weighs nothing. Where all weigh nothing, each bears as much as any other. Percentages
    that sum to less than a hundred leave a rest that nobody bears. With nobody to bear it, all of it is such a rest.
    """
    if not receivers:
        return [Part(None, amount_minor, ZERO, ZERO, "nobody to bear it")]
    if rule.method == "fixed":
        return _fixed(amount_minor, dict(rule.percentages), receivers)
    measured = figures.get(rule.measured_by, {}) if rule.measured_by else dict.fromkeys(receivers, Decimal(1))
    weights = [max(measured.get(one, ZERO), ZERO) for one in receivers]
    note = ""
    if not any(weights):
        weights, note = [Decimal(1)] * len(receivers), "evenly, for all weigh nothing"
    whole = sum(weights, ZERO)
    parts = allocate(amount_minor, weights)
    return [
        Part(one, part, weight, whole, note)
        for one, part, weight in zip(receivers, parts, weights, strict=True)
        if weight
    ]


def _fixed(amount_minor: int, percentages: Mapping[int, Decimal], receivers: Sequence[int]) -> list[Part]:
    named: list[tuple[int | None, Decimal]] = [
        (one, percentages[one]) for one in receivers if percentages.get(one)
    ]
    rest = HUNDRED - sum((percent for _, percent in named), ZERO)
    if rest > 0:
        named.append((None, rest))
    parts = allocate(amount_minor, [percent for _, percent in named])
    return [
        Part(one, part, percent, HUNDRED, "" if one else "the rule leaves it")
        for (one, percent), part in zip(named, parts, strict=True)
    ]
