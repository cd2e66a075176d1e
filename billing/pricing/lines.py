"""What a quote is made of: lines, each with the slices that explain it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from marketplace.core.money import exact, round_minor, to_text

ZERO = Decimal(0)


@dataclass(frozen=True)
class Slice:
    """One step of an explanation; `amount` is always `units * unit_amount + flat_amount`.

    `starts_from` (excluded) and `up_to` (included) count in the quantity of the whole period, free units and
    earlier bills among it. `units` is what the unit amount applies to: packages for a package price.
    """

    label: str
    starts_from: Decimal
    up_to: Decimal | None
    units: Decimal
    unit_amount: Decimal = ZERO
    flat_amount: Decimal = ZERO

    @property
    def amount(self) -> Decimal:
        with exact():
            return self.units * self.unit_amount + self.flat_amount

    @property
    def is_empty(self) -> bool:
        return not self.units and not self.flat_amount

    def shifted(self, by: Decimal) -> "Slice":
        up_to = None if self.up_to is None else self.up_to + by
        return replace(self, starts_from=self.starts_from + by, up_to=up_to)

    def after(self, earlier: "Slice") -> "Slice":
        """Give the part of this slice that lies beyond an earlier bill's slice of the same step."""
        starts_from = self.starts_from if earlier.up_to is None else earlier.up_to
        return replace(
            self,
            starts_from=starts_from,
            units=self.units - earlier.units,
            flat_amount=self.flat_amount - earlier.flat_amount,
        )

    def reversed(self) -> "Slice":
        return replace(
            self, label=f"{self.label}, billed before", units=-self.units, flat_amount=-self.flat_amount
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "from": to_text(self.starts_from),
            "to": None if self.up_to is None else to_text(self.up_to),
            "units": to_text(self.units),
            "unit_amount": to_text(self.unit_amount),
            "flat_amount": to_text(self.flat_amount),
            "amount": to_text(self.amount),
        }


@dataclass(frozen=True)
class Line:
    """One line: `amount` in major units as it was computed, `amount_minor` as it is billed."""

    code: str
    quantity: Decimal
    amount: Decimal
    amount_minor: int
    explanation: tuple[Slice, ...] = ()

    @classmethod
    def of(cls, code: str, *, quantity: Decimal, slices: Iterable[Slice], currency: str) -> "Line":
        """Sum slices and round the sum, once."""
        explanation = tuple(slices)
        amount = total_amount(explanation)
        return cls(code, quantity, amount, round_minor(amount, currency), explanation)

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "quantity": to_text(self.quantity),
            "amount": to_text(self.amount),
            "amount_minor": self.amount_minor,
            "explanation": [one.as_json() for one in self.explanation],
        }


@dataclass(frozen=True)
class Quote:
    """The lines of one bill; totals are sums of rounded lines, and without tax both agree."""

    currency: str
    lines: tuple[Line, ...]

    @property
    def subtotal_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        return self.subtotal_minor

    def as_json(self) -> dict[str, Any]:
        return {
            "lines": [line.as_json() for line in self.lines],
            "subtotal_minor": self.subtotal_minor,
            "total_minor": self.total_minor,
            "currency": self.currency,
        }


def total_amount(slices: Iterable[Slice]) -> Decimal:
    with exact():
        return sum((one.amount for one in slices), ZERO)


def increment(now: Sequence[Slice], before: Sequence[Slice]) -> list[Slice]:
    """Subtract the slices of what was billed before, step by step: 0-22 after 0-12 leaves 12-15 and 15-22.

    A step that is no longer part of the price (volume prices change for all units) stays as a negative slice.
    """
    earlier = {(one.label, one.unit_amount): one for one in before}
    with exact():
        added = [_beyond(earlier.pop((one.label, one.unit_amount), None), one) for one in now]
        gone = [one.reversed() for one in earlier.values()]
    return [one for one in added + gone if not one.is_empty]


def _beyond(earlier: Slice | None, now: Slice) -> Slice:
    return now if earlier is None else now.after(earlier)
