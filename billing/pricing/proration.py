"""Parts of a billing period, counted in whole days."""

from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import exact, round_minor
from marketplace.core.periods import Period


@dataclass(frozen=True)
class Proration:
    """`days` out of the `of_days` days of a period."""

    days: int
    of_days: int

    @classmethod
    def between(cls, active: Period, period: Period) -> "Proration":
        """Count the days of a period on which something was active: 10 November to 1 December is 21 of 30."""
        common = active.overlap(period)
        return cls(common.days if common else 0, period.days)

    @property
    def is_whole(self) -> bool:
        return self.days == self.of_days

    def of(self, amount: Decimal) -> Decimal:
        """Give the part of an amount; multiplied before divided, so that a half cent stays one."""
        with exact():
            return amount * self.days / self.of_days


def change_of_fee(
    old_amount: Decimal, *, new_amount: Decimal, left: Proration, currency: str
) -> tuple[int, int]:
    """Give the credit (negative) and the charge, in minor units, for changing a prepaid fee before its end.

    Each is a line of its own, rounded on its own: 50 to 100 with 20 of 30 days left is -33.33 and +66.67.
    """
    return -round_minor(left.of(old_amount), currency), round_minor(left.of(new_amount), currency)
