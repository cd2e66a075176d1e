"""What this house agreed with itself about money that does not come in."""

from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import from_minor


@dataclass(frozen=True)
class CollectingTerms:
    """Up to `write_off_alone_up_to`, in `currency`, one person writes off; more takes two.

    `small_difference_up_to` counts in each invoice's own currency. When creators bear losses, they are not owed their
    part of what is written off.
    """

    currency: str
    write_off_alone_up_to: Decimal = Decimal(100)
    small_difference_up_to: Decimal = Decimal(1)
    creators_bear_losses: bool = True

    def needs_second_person(self, amount_minor: int, currency: str) -> bool:
        """Tell whether giving up this much takes two people; in another currency it always does."""
        return currency != self.currency or from_minor(amount_minor, currency) > self.write_off_alone_up_to

    def is_small(self, amount_minor: int, currency: str) -> bool:
        """Tell whether a difference is too small to ask for."""
        return 0 < from_minor(amount_minor, currency) <= self.small_difference_up_to
