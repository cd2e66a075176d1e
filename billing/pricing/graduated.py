"""Each slice of the quantity at the price of its own tier."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.tiers import TieredShape


@dataclass(frozen=True)
class Graduated(TieredShape):
    """Adds the flat amount of every tier reached; the first tier is reached even with nothing used."""

    def price(self, quantity: Decimal) -> list[Slice]:
        slices: list[Slice] = []
        below = ZERO
        for number, tier in enumerate(self.tiers, start=1):
            end = quantity if tier.up_to is None else min(quantity, tier.up_to)
            slices.append(
                Slice(f"tier {number}", below, end, end - below, tier.unit_amount, tier.flat_amount)
            )
            if tier.covers(quantity):
                break
            below = end
        return slices
