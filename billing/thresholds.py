"""What the operator wants to be left of an app's price, and gives for those who pay nothing."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Thresholds:
    """Parts of the price that the platform has to keep: below the first it fails, below the second it warns.

    A free plan keeps nothing, so it is judged by its quota: ``free_cost`` is what the platform gives for a free
    subscriber a month, in ``free_currency``; beyond that, one who pays has to carry ``free_per_paying`` who do not.
    """

    fail_below: Decimal = Decimal(0)
    warn_below: Decimal = Decimal("0.01")
    free_cost: Decimal = Decimal(2)
    free_currency: str = "USD"
    free_per_paying: int = 20
