"""The same price for every unit."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.shape import QuantityShape


@dataclass(frozen=True)
class PerUnit(QuantityShape):
    unit_amount: Decimal

    def price(self, quantity: Decimal) -> list[Slice]:
        return [Slice("units", ZERO, quantity, quantity, self.unit_amount)] if quantity else []
