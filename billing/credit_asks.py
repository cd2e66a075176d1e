"""What somebody asks to be given back, as a value that is kept with the proposal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.crediting import Creditable, Parts, an_amount, everything, of_lines
from marketplace.core.errors import InvalidInput
from marketplace.core.money import minor_exponent, parse_amount, round_minor, to_text


@dataclass(frozen=True)
class Ask:
    """Everything that is left, an amount, or amounts of lines by position (None: what is left); tax included."""

    amount_minor: int | None = None
    lines: Mapping[int, int | None] = field(default_factory=dict)

    def parts(self, lines: Sequence[Creditable], *, currency: str) -> Parts:
        """Say what it takes of each line. Raises InvalidInput and NothingLeft as billing.crediting does."""
        if self.amount_minor is not None:
            return an_amount(lines, self.amount_minor, currency=currency)
        return of_lines(lines, self.lines, currency=currency) if self.lines else everything(lines)

    def as_json(self) -> dict[str, Any]:
        if self.amount_minor is not None:
            return {"amount_minor": self.amount_minor}
        return {"lines": {str(place): amount for place, amount in self.lines.items()}} if self.lines else {}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "Ask":
        lines = kept.get("lines") or {}
        return cls(kept.get("amount_minor"), {int(place): amount for place, amount in lines.items()})


def read_minor(text: object, *, field: str, currency: str) -> int:
    """Read an amount in major units as minor units; no cent is rounded away. Raises InvalidInput naming the field."""
    amount = parse_amount(text, field=field)
    decimals = minor_exponent(currency)
    if amount != amount.quantize(amount.__class__(1).scaleb(-decimals)):
        message = f"{to_text(amount)} has more than the {decimals} decimals of {currency}"
        raise InvalidInput(field, message, limit=decimals, code="too_many_decimals")
    return round_minor(amount, currency)
