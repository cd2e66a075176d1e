"""Tiers, which graduated and volume prices share."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO
from billing.pricing.shape import QuantityShape


@dataclass(frozen=True)
class Tier:
    """A range of quantities that ends with `up_to`, included; None means without end."""

    up_to: Decimal | None
    unit_amount: Decimal = ZERO
    flat_amount: Decimal = ZERO

    def covers(self, quantity: Decimal) -> bool:
        return self.up_to is None or quantity <= self.up_to


@dataclass(frozen=True)
class TieredShape(QuantityShape):
    """A shape of tiers in ascending order. A saved price ends with an open tier; a quoted one need not."""

    tiers: tuple[Tier, ...]

    def has_price_for(self, quantity: Decimal) -> bool:
        return self.tiers[-1].covers(quantity)
