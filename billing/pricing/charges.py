"""One priced thing of a plan: a shape, with what may be put around every shape."""

from dataclasses import dataclass, replace
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.proration import Proration
from billing.pricing.shape import Shape
from billing.pricing.tiers import TieredShape
from billing.pricing.usage import Usage
from marketplace.core.money import exact


@dataclass(frozen=True)
class Charge:
    """Free units come first, then the price, then minimum and maximum of what the period may cost."""

    code: str
    shape: Shape
    free_units: Decimal = ZERO
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def slices(self, usage: Usage) -> list[Slice]:
        return self.shape.slices(usage, free_units=self.free_units)

    def prorated(self, proration: Proration) -> "Charge":
        """Give the charge for a part of its period: fees and the minimum shrink, the maximum stays."""
        minimum = None if self.minimum is None else proration.of(self.minimum)
        return replace(self, shape=self.shape.prorated(proration), minimum=minimum)

    def exceeded_tier(self, usage: Usage) -> int | None:
        """Give the index of a bounded last tier that the usage goes beyond; None when all is priced."""
        with exact():
            billable = usage.total - self.free_units
        if not isinstance(self.shape, TieredShape) or self.shape.has_price_for(billable):
            return None
        return len(self.shape.tiers) - 1
