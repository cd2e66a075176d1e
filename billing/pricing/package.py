"""Whole packages of units."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.shape import QuantityShape
from marketplace.core.money import to_text

Rounding = Literal["up", "down"]


@dataclass(frozen=True)
class Package(QuantityShape):
    """A package that was begun costs as much as a full one; with `rounding="down"` it costs nothing."""

    package_size: Decimal
    package_amount: Decimal
    rounding: Rounding = "up"

    def price(self, quantity: Decimal) -> list[Slice]:
        packages, begun = divmod(quantity, self.package_size)
        if begun and self.rounding == "up":
            packages += 1
        label = f"packages of {to_text(self.package_size)}"
        return [Slice(label, ZERO, quantity, packages, self.package_amount)] if quantity else []
