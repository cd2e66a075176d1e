"""What every price shape can do."""

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import ClassVar

from billing.pricing.lines import ZERO, Slice
from billing.pricing.proration import Proration
from billing.pricing.usage import Usage
from marketplace.core.money import exact


class Shape(ABC):
    """A way to price usage. `is_metered` is false for a price that no quantity changes."""

    is_metered: ClassVar[bool] = True

    @abstractmethod
    def slices(self, usage: Usage, *, free_units: Decimal) -> list[Slice]:
        """Price usage from zero, step by step, free units first."""

    def prorated(self, proration: Proration) -> "Shape":
        """Give the shape for a part of the period; metered prices are the same on every day."""
        return self


class QuantityShape(Shape):
    """A shape that looks at the total quantity only."""

    @abstractmethod
    def price(self, quantity: Decimal) -> list[Slice]:
        """Price what is left after free units, step by step."""

    def slices(self, usage: Usage, *, free_units: Decimal) -> list[Slice]:
        with exact():
            free = min(usage.total, free_units)
            given = [Slice("free units", ZERO, free, free)] if free else []
            return given + [one.shifted(free) for one in self.price(usage.total - free)]
