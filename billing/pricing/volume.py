"""All units at the price of the tier that the whole quantity reaches."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.tiers import TieredShape


@dataclass(frozen=True)
class Volume(TieredShape):
    """Adds the flat amount of the tier reached; with nothing used that is the first."""

    def price(self, quantity: Decimal) -> list[Slice]:
        number, tier = next(
            (number, tier) for number, tier in enumerate(self.tiers, start=1) if tier.covers(quantity)
        )
        return [Slice(f"tier {number}", ZERO, quantity, quantity, tier.unit_amount, tier.flat_amount)]
