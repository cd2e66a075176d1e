"""Exact money: parsing, the one rounding, splitting without loss, and showing.

Amounts are Decimal in major units until an invoice line rounds them to integer minor units. No float passes.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from math import floor

from marketplace.core.errors import InvalidInput

MAX_INTEGER_DIGITS = 20
MAX_DECIMALS = 18

# Products of two parsed amounts have at most 76 digits; the rest is room for sums and for period fractions.
_EXACT = Context(prec=160, rounding=ROUND_HALF_UP)
_PLAIN_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
# A product of two parsed amounts and a percentage ends within these; only a period fraction can run on.
_LONGEST_EXACT_TEXT = 40

# ISO 4217, currencies in circulation. Funds codes, units of account and metals are left out: nobody is
# invoiced in them, and the two with four decimals (CLF, UYW) are among them.
_ZERO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_TWO_DECIMALS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
    "COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR "
    "MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
    "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES "
    "WST XCD XCG YER ZAR ZMW ZWG"
)
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
MINOR_EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_ZERO_DECIMALS.split(), 0),
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
}
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "ILS": "₪", "VND": "₫"}


@dataclass(frozen=True)
class FloatLiteral:
    """A number written with a point or an exponent in JSON; kept as text so that the field can be named."""

    literal: str


def exact() -> AbstractContextManager[Context]:
    """Give a decimal context in which sums and products of parsed amounts lose nothing."""
    return localcontext(_EXACT)


def minor_exponent(currency: str) -> int:
    """Give the number of decimals of a currency's minor unit: 0, 2 or 3.

    Raises InvalidInput for a code that is not a currency in circulation.
    """
    try:
        return MINOR_EXPONENTS[currency]
    except (KeyError, TypeError):
        message = "is not an ISO 4217 code of a currency in circulation, such as USD"
        raise InvalidInput("currency", message, code="unknown_currency") from None


def round_minor(amount: Decimal, currency: str) -> int:
    """Round major units to integer minor units, half away from zero: -0.005 USD is -1.

    The only place that rounds money; called once per invoice line.
    """
    if not isinstance(amount, Decimal):
        raise TypeError(f"money is Decimal, not {type(amount).__name__}")
    with exact():
        return int(amount.scaleb(minor_exponent(currency)).to_integral_value(ROUND_HALF_UP))


def from_minor(amount_minor: int, currency: str) -> Decimal:
    """Turn integer minor units into major units: 1250 USD is 12.50."""
    return Decimal(amount_minor).scaleb(-minor_exponent(currency), _EXACT)


def parse_amount(text: object, *, field: str) -> Decimal:
    """Read an exact decimal: a plain decimal string, an int or a Decimal; the sign is the caller's business.

    Raises InvalidInput naming `field` for floats, NaN, infinities, exponents, separators, more than 20
    integer digits or 18 decimals.
    """
    if isinstance(text, float | FloatLiteral):
        message = 'is a float; send it as a string, such as "12.50"'
        raise InvalidInput(field, message, code="float_not_allowed")
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise InvalidInput(field, 'must be a decimal string, such as "12.50"', code="not_a_number")
    return _parse_plain(_as_plain_text(text, field=field), field=field)


def _as_plain_text(value: str | int | Decimal, *, field: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        # Python refuses to write out integers of thousands of digits, with an error of its own.
        return str(value) if abs(value) < 10 ** (MAX_INTEGER_DIGITS + 1) else "9" * (MAX_INTEGER_DIGITS + 1)
    if not value.is_finite():
        raise InvalidInput(field, "must be a finite number", code="not_a_number")
    if abs(value.adjusted()) > MAX_INTEGER_DIGITS + MAX_DECIMALS and value != 0:
        raise InvalidInput(field, "has too many digits", limit=MAX_INTEGER_DIGITS, code="too_many_digits")
    return to_text(value)


def _parse_plain(text: str, *, field: str) -> Decimal:
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        message = 'must be a plain decimal such as "1250.75", without exponent or thousands separators'
        raise InvalidInput(field, message, code="not_a_number")
    _, integer, decimals = match.groups()
    if len(integer.lstrip("0")) > MAX_INTEGER_DIGITS:
        message = f"has more than {MAX_INTEGER_DIGITS} digits before the point"
        raise InvalidInput(field, message, limit=MAX_INTEGER_DIGITS, code="too_many_digits")
    if len((decimals or "").rstrip("0")) > MAX_DECIMALS:
        message = f"has more than {MAX_DECIMALS} decimals"
        raise InvalidInput(field, message, limit=MAX_DECIMALS, code="too_many_decimals")
    # Zeros beyond the limits carry nothing, but would widen every later sum.
    amount = Decimal(text if len(text) <= MAX_INTEGER_DIGITS + MAX_DECIMALS else _trimmed(text))
    return abs(amount) if amount == 0 else amount


def _trimmed(text: str) -> str:
    sign, digits = text[: text.startswith("-")], text.lstrip("-")
    integer, _, decimals = digits.partition(".")
    return f"{sign}{integer.lstrip('0') or '0'}.{decimals.rstrip('0') or '0'}"


def allocate(total_minor: int, weights: Sequence[Decimal | Fraction | int]) -> list[int]:
    """Split minor units by weight so that the parts sum to the whole: 5 over 1:1:1 is 2, 2, 1.

    Largest remainder; ties go to the earlier part; all weights zero means equal parts; a negative total is
    the mirror image of the positive one. Raises ValueError for negative weights, or nobody to split among.
    """
    exact_weights = [Fraction(weight) for weight in weights]
    if not exact_weights or any(weight < 0 for weight in exact_weights):
        raise ValueError("allocation needs at least one weight, and none may be negative")
    if not any(exact_weights):
        exact_weights = [Fraction(1)] * len(exact_weights)
    whole = sum(exact_weights)
    parts = apportion(abs(total_minor), [abs(total_minor) * weight / whole for weight in exact_weights])
    return parts if total_minor >= 0 else [-part for part in parts]


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Round exact shares, of any sign, to whole numbers that sum to `total`, by largest remainder.

    `total` must lie within one half of the sum of the shares, as a rounded sum does.
    """
    parts = [floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: (parts[index] - shares[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    if sum(parts) != total:
        raise ValueError(f"shares do not sum to {total}")
    return parts


def to_text(amount: Decimal) -> str:
    """Write an unrounded amount for JSON: no exponent, no trailing zeros, 127.50 is "127.5".

    A fraction that never ends (a third of a month) is cut after 18 decimals; cut, not rounded, so that
    rounding the text to minor units gives what rounding the amount gave.
    """
    with exact():
        if _decimals(amount) > _LONGEST_EXACT_TEXT:
            amount = amount.quantize(Decimal(1).scaleb(-MAX_DECIMALS), rounding=ROUND_DOWN)
        return "0" if amount == 0 else f"{amount.normalize():f}"


def format_money(amount_minor: int, currency: str) -> str:
    """Show invoiced money: "$1,234.50", "€12.00", "¥500", "KWD 1.234", "-$5.00"."""
    return _with_currency(from_minor(amount_minor, currency), currency, decimals=minor_exponent(currency))


def format_amount(amount: Decimal, currency: str) -> str:
    """Show an unrounded amount with all its decimals, at least those of the currency: "$0.0002", "$12.50"."""
    shown = Decimal(to_text(amount))
    return _with_currency(shown, currency, decimals=max(minor_exponent(currency), _decimals(shown)))


def _decimals(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("money is a finite number")
    return max(0, -exponent)


def _with_currency(amount: Decimal, currency: str, *, decimals: int) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SYMBOLS.get(currency, currency + ' ')}{abs(amount):,.{decimals}f}"
