"""How a credit is spread: which part of each invoice line, of its tax and of its revenue share is given back.

Amounts are minor units and include tax. What is taken of a line is counted from the line's beginning: tax and the
creator's part of the first so many cents are those that the line's proportion gives, rounded, less what earlier
notes took. So several notes never take more than the line has, and the last one takes exactly what is left. A credit
that uses up the invoice takes what is left of every line, whatever was asked: all notes together are its mirror.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.money import allocate, apportion, format_money


class NothingLeft(Conflict):
    """All of the invoice was given back before, or it never asked for anything."""

    code = "nothing_left_to_credit"

    def __init__(self) -> None:
        super().__init__("Nothing of this invoice is left that could be given back.")


@dataclass(frozen=True)
class Amounts:
    """Amounts of a line, or parts of them; `net` is the creator's and the platform's part together."""

    net_minor: int = 0
    tax_minor: int = 0
    creator_minor: int = 0

    @property
    def gross_minor(self) -> int:
        return self.net_minor + self.tax_minor

    @property
    def platform_minor(self) -> int:
        return self.net_minor - self.creator_minor

    @property
    def is_nothing(self) -> bool:
        return not (self.net_minor or self.tax_minor or self.creator_minor)

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.net_minor + other.net_minor,
            self.tax_minor + other.tax_minor,
            self.creator_minor + other.creator_minor,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return self + Amounts(-other.net_minor, -other.tax_minor, -other.creator_minor)


@dataclass(frozen=True)
class Creditable:
    """A line of an invoice by its position, and what earlier notes took of it."""

    position: int
    whole: Amounts
    taken: Amounts = Amounts()

    @property
    def left(self) -> Amounts:
        return self.whole - self.taken

    def part(self, gross_minor: int) -> Amounts:
        """Give the next so many minor units of this line, tax included."""
        return self._first(self.taken.gross_minor + gross_minor) - self.taken

    def _first(self, gross_minor: int) -> Amounts:
        whole = self.whole
        if not whole.gross_minor:
            return Amounts()
        net_minor, tax_minor = allocate(gross_minor, [abs(whole.net_minor), abs(whole.tax_minor)])
        creator = Fraction(whole.creator_minor * gross_minor, whole.gross_minor)
        return Amounts(net_minor, tax_minor, floor(creator + Fraction(1, 2)))


# What is taken of each line, by position.
Parts = dict[int, Amounts]


def left_minor(lines: Sequence[Creditable]) -> int:
    """Give what is left of an invoice to be given back, tax included. Raises NothingLeft."""
    left = sum(line.left.gross_minor for line in lines)
    if left <= 0:
        raise NothingLeft
    return left


def everything(lines: Sequence[Creditable]) -> Parts:
    """Take what is left of every line. Raises NothingLeft."""
    left_minor(lines)
    return _filled({line.position: line.left for line in lines})


def an_amount(lines: Sequence[Creditable], amount_minor: int, *, currency: str) -> Parts:
    """Take an amount, spread over the lines by what is left of each, by largest remainder.

    Raises InvalidInput for more than is left, NothingLeft.
    """
    left = left_minor(lines)
    if not 0 < amount_minor <= left:
        raise InvalidInput("amount", _bounds(left, currency), limit=left, code="out_of_range")
    if amount_minor == left:
        return everything(lines)
    shares = [Fraction(amount_minor * line.left.gross_minor, left) for line in lines]
    parts = zip(lines, apportion(amount_minor, shares), strict=True)
    return _filled({line.position: line.part(part_minor) for line, part_minor in parts})


def of_lines(lines: Sequence[Creditable], wanted: Mapping[int, int | None], *, currency: str) -> Parts:
    """Take amounts of lines by position; None is what is left of the line.

    Raises InvalidInput naming each line that does not exist or has less left, and when all together are more than is
    left of the invoice (lines that took something off count, too).
    """
    left = left_minor(lines)
    known = {line.position: line for line in lines}
    amounts = {place: _wanted(known.get(place), amount) for place, amount in wanted.items()}
    if errors := [_line_error(known.get(place), place, currency) for place in wanted if not amounts[place]]:
        raise InvalidInput.several(errors)
    total = sum(amounts.values())
    if not 0 < total <= left:
        raise InvalidInput("lines", _bounds(left, currency), limit=left, code="out_of_range")
    if total == left:
        return everything(lines)
    return _filled({place: known[place].part(amount) for place, amount in amounts.items()})


def _wanted(line: Creditable | None, amount_minor: int | None) -> int:
    """Give the amount if the line has as much left, else zero."""
    left = line.left.gross_minor if line else 0
    amount = left if amount_minor is None else amount_minor
    return amount if amount * left > 0 and abs(amount) <= abs(left) else 0


def _line_error(line: Creditable | None, position: int, currency: str) -> FieldError:
    if line is None:
        return FieldError(f"lines[{position}]", "is not a line of this invoice", "unknown_line")
    left = line.left.gross_minor
    if not left:
        return FieldError(f"lines[{position}]", "has nothing left to give back", "nothing_left", "0")
    message = f"must be between zero and {format_money(left, currency)}, what is left of the line"
    return FieldError(f"lines[{position}]", message, "out_of_range", str(left))


def _bounds(left: int, currency: str) -> str:
    return f"must be more than zero and at most {format_money(left, currency)}, what is left of the invoice"


def _filled(parts: Parts) -> Parts:
    return {position: part for position, part in parts.items() if not part.is_nothing}


def spread(total_minor: int, owed: Mapping[int, int]) -> dict[int, int]:
    """Take an amount back from those who were credited it, by what each still has, by largest remainder.

    What each has may be of any sign; where all of it sums to zero the first one bears the amount.
    """
    whole = sum(owed.values())
    if whole:
        shares = [Fraction(total_minor * one, whole) for one in owed.values()]
        return dict(zip(owed, apportion(total_minor, shares), strict=True))
    return {one: total_minor if place == 0 else 0 for place, one in enumerate(owed)}
