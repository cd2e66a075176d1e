"""A markup on cost: price = cost x (1 + markup); the quantity is the cost."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.shape import QuantityShape


@dataclass(frozen=True)
class CostPlus(QuantityShape):
    markup: Decimal

    def price(self, quantity: Decimal) -> list[Slice]:
        return [Slice("cost with markup", ZERO, quantity, quantity, 1 + self.markup)] if quantity else []
