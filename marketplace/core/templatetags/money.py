"""Filters for money and numbers. Everything here only shows; nothing it returns is calculated with again."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from django import template

from marketplace.core.money import format_amount, format_money

SHOWN_DIGITS = 6
_COMPACT_STEPS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))

register = template.Library()


@register.filter
def money(amount_minor: int | None, currency: str) -> str:
    """Show integer minor units: `{{ 123450|money:"USD" }}` is "$1,234.50"; None is a dash."""
    return "–" if amount_minor is None else format_money(amount_minor, currency)


@register.filter
def amount(value: Decimal | int | None, currency: str) -> str:
    """Show a rated amount with up to six telling decimals: "$0.0000123457", "$12.50"; None is a dash."""
    return "–" if value is None else format_amount(shorten(Decimal(value)), currency)


@register.filter
def number(value: Decimal | int | None) -> str:
    """Show a count or quantity with thousands separators: "1,234,567", "0.25"; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        raise TypeError("quantities are int or Decimal, not float")
    if isinstance(value, int):
        return f"{value:,}"
    shown = shorten(value)
    return (
        f"{shown.to_integral_value():,f}" if shown == shown.to_integral_value() else f"{shown.normalize():,f}"
    )


@register.filter
def compact(value: Decimal | int | None) -> str:
    """Show a count in three digits: 950 is "950", 12_340 is "12.3k", 4_000_000 is "4M"; None is a dash."""
    if value is None:
        return "–"
    whole = Decimal(value)
    for step, suffix in _COMPACT_STEPS:
        # 999,950 already rounds to 1.00M: the next larger step takes it.
        if abs(whole) >= step - Decimal(step) / 2000:
            scaled = whole / step
            places = max(0, 2 - max(scaled.adjusted(), 0))
            text = f"{scaled.quantize(Decimal(1).scaleb(-places)):f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix
    return number(value)


@register.filter
def percent(value: Decimal | int | None, decimals: int = 0) -> str:
    """Show a ratio as a percentage: Decimal("0.065") with 1 decimal is "6.5 %"; None is a dash."""
    if value is None:
        return "–"
    return f"{(Decimal(value) * 100).quantize(Decimal(1).scaleb(-decimals)):f}\u202f%"


@register.filter
def change(share: Decimal | int | None) -> str:
    """Show how much more or less, in whole percent with a sign: Decimal("0.065") is "+7 %"; None is a dash."""
    if share is None:
        return "–"
    whole = int((Decimal(share) * 100).to_integral_value(ROUND_HALF_UP))
    return f"{whole:+,}\u202f%" if whole else "0\u202f%"


def shorten(value: Decimal) -> Decimal:
    """Cut to six decimals, below 1 to six significant digits, for showing: 0.00001234567 is 0.0000123457."""
    if value == 0:
        return Decimal(0)
    places = SHOWN_DIGITS if abs(value) >= 1 else SHOWN_DIGITS - 1 - value.adjusted()
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN).normalize()
