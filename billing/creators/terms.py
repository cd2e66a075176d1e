"""What the house says about paying creators."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class PayoutTerms:
    """Up to `alone_up_to`, in `currency`, one person of finance approves a payout; more takes two.

    `least_hold_days` is the shortest time that released money waits. Where `bears_negatives` the platform takes over
    what a creator would owe at the end of a month; else it is carried forward.
    """

    currency: str
    alone_up_to: Decimal = Decimal(1_000)
    least_hold_days: int = 0
    bears_negatives: bool = False
