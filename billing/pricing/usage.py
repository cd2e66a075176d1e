"""How much was used under one charge."""

from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import exact


@dataclass(frozen=True)
class Usage:
    """One quantity, or the values of transactions in the order in which they happened.

    `is_measured` is a quantity of which nobody knows the transactions: what comes later adds to it, and is not another
    transaction.
    """

    values: tuple[Decimal, ...] = ()
    is_measured: bool = False

    @classmethod
    def of(cls, quantity: Decimal) -> "Usage":
        """Make a single quantity; zero is no transaction at all."""
        return cls((quantity,)) if quantity else cls()

    @classmethod
    def measured(cls, quantity: Decimal) -> "Usage":
        """Make a quantity that was measured as a whole, of a month that may get more of it, or less."""
        return cls((quantity,) if quantity else (), is_measured=True)

    @property
    def total(self) -> Decimal:
        with exact():
            return sum(self.values, Decimal(0))

    def then(self, later: "Usage") -> "Usage":
        if self.is_measured or later.is_measured:
            with exact():
                return Usage.measured(self.total + later.total)
        return Usage(self.values + later.values)
