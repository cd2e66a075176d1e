"""An allowance of money inside a plan: it pays for what is used, until it is used up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from billing.pricing.lines import ZERO, Line, Slice
from billing.pricing.proration import Proration
from billing.pricing.shape import Shape
from billing.pricing.usage import Usage
from marketplace.core.money import from_minor, round_minor, to_text


@dataclass(frozen=True)
class IncludedCredit(Shape):
    """Comes after every charge with its minimum and maximum; fees are not paid by it, and what is left is not kept."""

    amount: Decimal
    prorate: bool = False

    is_metered: ClassVar[bool] = False

    def slices(self, usage: Usage, *, free_units: Decimal) -> list[Slice]:
        """Price nothing: what it pays depends on all other lines, see `line`."""
        return []

    def prorated(self, proration: Proration) -> "IncludedCredit":
        return replace(self, amount=proration.of(self.amount)) if self.prorate else self

    def line(self, code: str, *, to_pay_minor: int, used_minor: int, currency: str) -> Line:
        """Pay what the period's usage comes to, less what earlier bills used of it; says what is left."""
        credit_minor = round_minor(self.amount, currency)
        whole_minor = min(credit_minor, max(0, to_pay_minor))
        used = from_minor(used_minor - whole_minor, currency)
        left = from_minor(credit_minor - whole_minor, currency)
        steps: Sequence[Slice] = (
            Slice(
                f"used of the included credit of {to_text(self.amount)}", ZERO, None, ZERO, flat_amount=used
            ),
            Slice("left of the included credit", ZERO, None, left),
        )
        return Line.of(code, quantity=Decimal(1), slices=steps, currency=currency)
