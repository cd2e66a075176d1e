"""A share of the value of transactions, and a fixed amount for each."""

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.lines import ZERO, Slice
from billing.pricing.shape import Shape
from billing.pricing.usage import Usage
from marketplace.core.money import exact


@dataclass(frozen=True)
class Percentage(Shape):
    """`rate` is in percent: 1.3 on 800 is 10.40.

    The allowances are used up by transactions in their order, together: free value ends with the last free
    transaction, and a transaction that goes beyond the free value pays its fixed amount. An allowance of zero
    does not limit the other one. So with 250 of value and 3 transactions free, values of 50, 100, 250, 400
    leave 550 of value and 2 transactions to pay.
    """

    rate: Decimal
    fixed_amount: Decimal = ZERO
    free_transactions: int = 0

    def slices(self, usage: Usage, *, free_units: Decimal) -> list[Slice]:
        with exact():
            free_value, free_count = self._allowances(usage, free_units)
            total, count = usage.total, len(usage.values)
            steps = [
                Slice("free value", ZERO, free_value, free_value),
                Slice("value", free_value, total, total - free_value, self.rate / 100),
                Slice("free transactions", ZERO, Decimal(free_count), Decimal(free_count)),
                Slice(
                    "transactions",
                    Decimal(free_count),
                    Decimal(count),
                    Decimal(count - free_count),
                    self.fixed_amount,
                ),
            ]
        return [step for step in steps if not step.is_empty]

    def _allowances(self, usage: Usage, free_units: Decimal) -> tuple[Decimal, int]:
        """Give the value and the number of transactions that are free."""
        if not free_units and not self.free_transactions:
            return ZERO, 0
        candidates = usage.values[: self.free_transactions or None]
        if not free_units:
            return sum(candidates, ZERO), len(candidates)
        running, free_count = ZERO, 0
        for value in candidates:
            running += value
            free_count += running <= free_units
        return min(running, free_units), free_count
