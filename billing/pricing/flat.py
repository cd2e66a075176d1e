"""A fee per period, whatever is used."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from billing.pricing.lines import ZERO, Slice
from billing.pricing.proration import Proration
from billing.pricing.shape import Shape
from billing.pricing.usage import Usage
from marketplace.core.money import to_text


@dataclass(frozen=True)
class Flat(Shape):
    amount: Decimal
    prorate: bool = False
    label: str = "per period"

    is_metered: ClassVar[bool] = False

    def slices(self, usage: Usage, *, free_units: Decimal) -> list[Slice]:
        return [Slice(self.label, ZERO, None, ZERO, flat_amount=self.amount)]

    def prorated(self, proration: Proration) -> "Flat":
        if not self.prorate or proration.is_whole:
            return self
        label = f"{proration.days} of {proration.of_days} days of {to_text(self.amount)}"
        return replace(self, amount=proration.of(self.amount), label=label)
