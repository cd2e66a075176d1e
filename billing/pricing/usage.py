"""How much was used under one charge."""

from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import exact


@dataclass(frozen=True)
class Usage:
    """One quantity, or the values of transactions in the order in which they happened."""

    values: tuple[Decimal, ...] = ()

    @classmethod
    def of(cls, quantity: Decimal) -> "Usage":
        """Make a single quantity; zero is no transaction at all."""
        return cls((quantity,)) if quantity else cls()

    @property
    def total(self) -> Decimal:
        with exact():
            return sum(self.values, Decimal(0))

    def then(self, later: "Usage") -> "Usage":
        return Usage(self.values + later.values)
