"""What every file of a bank is read into: lines, and what could not be read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256

from marketplace.core.money import MINOR_EXPONENTS, minor_exponent, round_minor

MOST_BYTES = 5 * 1024 * 1024
MOST_LINES = 20_000


class Unreadable(ValueError):
    """One line cannot be read; the message says why."""


@dataclass(frozen=True)
class Line:
    """A movement as the bank tells it."""

    position: int
    booked_on: date
    amount_minor: int
    currency: str
    reference: str
    name: str = ""
    text: str = ""
    account: str = ""


@dataclass(frozen=True)
class Wrong:
    """What could not be read of a line."""

    position: int
    message: str


@dataclass(frozen=True)
class Statement:
    """What a file has."""

    lines: tuple[Line, ...]
    wrong: tuple[Wrong, ...]


def read_minor(text: str, currency: str, *, has_decimal_comma: bool = False) -> int:
    """Read an amount such as 1,234.50, or 1.234,50 with a decimal comma; no cent is rounded away. Raises Unreadable."""
    if currency not in MINOR_EXPONENTS:
        raise Unreadable(f"{currency or 'nothing'} is no currency that is known")
    plain = text.replace(" ", "").replace("'", "").replace("\u00a0", "")
    group, point = (".", ",") if has_decimal_comma else (",", ".")
    try:
        amount = Decimal(plain.replace(group, "").replace(point, "."))
    except InvalidOperation:
        raise Unreadable(f"{text!r} is no amount") from None
    if not amount.is_finite() or abs(amount) >= Decimal(10) ** 15:
        raise Unreadable(f"{text!r} is no amount")
    if amount != round(amount, minor_exponent(currency)):
        raise Unreadable(f"{text!r} has more decimals than {currency}")
    return round_minor(amount, currency)


def read_date(text: str, form: str = "%Y-%m-%d") -> date:
    """Read a day. Raises Unreadable."""
    try:
        return datetime.strptime(text.strip(), form).date()  # noqa: DTZ007  a day has no zone
    except ValueError:
        raise Unreadable(f"{text!r} is no day like {form}") from None


def made_reference(parts: Sequence[str], seen: dict[str, int]) -> str:
    """Make a reference of what a line says, where the bank gives none: the same file gives the same ones.

    Two lines that say the same are told apart by their order.
    """
    said = "\x1f".join(parts)
    seen[said] = seen.get(said, 0) + 1
    return "made-" + sha256(f"{said}\x1f{seen[said]}".encode()).hexdigest()[:32]
