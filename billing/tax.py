"""From priced lines to what is due: discounts, then tax, then prepaid credit; and tax on credit notes.

All amounts are integer minor units. Tax is computed once per rate, on the sum of its rounded lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from billing.pricing.proration import Proration
from marketplace.core.money import allocate, apportion, exact, from_minor, round_minor


@dataclass(frozen=True)
class TaxableLine:
    """A rounded line after its own discounts; negative for a discount line or a correction."""

    amount_minor: int
    rate_percent: Decimal


@dataclass(frozen=True)
class RateTax:
    rate_percent: Decimal
    base_minor: int
    tax_minor: int


@dataclass(frozen=True)
class Taxes:
    """Tax by rate, in the order in which rates first appear, and the same tax by line."""

    rates: tuple[RateTax, ...]
    line_taxes_minor: tuple[int, ...]

    @property
    def total_minor(self) -> int:
        return sum(rate.tax_minor for rate in self.rates)


@dataclass(frozen=True)
class InvoiceTotals:
    """`subtotal - discount + tax = total`, and `total - credit used = due`."""

    subtotal_minor: int
    discount_minor: int
    taxes: Taxes
    credit_used_minor: int

    @property
    def total_minor(self) -> int:
        return self.subtotal_minor - self.discount_minor + self.taxes.total_minor

    @property
    def due_minor(self) -> int:
        return self.total_minor - self.credit_used_minor


@dataclass(frozen=True)
class Credit:
    """What a credit note gives back."""

    amount_minor: int
    tax_minor: int

    @property
    def total_minor(self) -> int:
        return self.amount_minor + self.tax_minor


def tax_on(base_minor: int, *, rate_percent: Decimal, currency: str) -> int:
    """Give the tax on a base, rounded once: 25 percent of 19333 is 4833."""
    with exact():
        return round_minor(from_minor(base_minor, currency) * rate_percent / 100, currency)


def tax_lines(lines: Sequence[TaxableLine], *, currency: str) -> Taxes:
    """Tax each rate on the sum of its lines, and give that tax back to the lines by largest remainder.

    0.17 and 4.46 at 20 percent: 0.926 on 4.63 is 0.93, of which the lines carry 0.04 and 0.89. Line by line
    it would have been 0.92.
    """
    rates: list[RateTax] = []
    line_taxes = [0] * len(lines)
    for rate_percent in dict.fromkeys(line.rate_percent for line in lines):
        places = [place for place, line in enumerate(lines) if line.rate_percent == rate_percent]
        base_minor = sum(lines[place].amount_minor for place in places)
        tax_minor = tax_on(base_minor, rate_percent=rate_percent, currency=currency)
        shares = [lines[place].amount_minor * Fraction(rate_percent) / 100 for place in places]
        for place, part in zip(places, apportion(tax_minor, shares), strict=True):
            line_taxes[place] = part
        rates.append(RateTax(rate_percent, base_minor, tax_minor))
    return Taxes(tuple(rates), tuple(line_taxes))


def less_percent(amount_minor: int, *, percent: Decimal, currency: str) -> int:
    """Take a discount in percent, rounded once, off a line; what is left is never below zero."""
    with exact():
        discount = round_minor(from_minor(amount_minor, currency) * percent / 100, currency)
    return max(0, amount_minor - discount)


def total_invoice(
    lines: Sequence[TaxableLine], *, discount_minor: int = 0, credit_minor: int = 0, currency: str
) -> InvoiceTotals:
    """Take the invoice discount off lines that carry their own discounts already, tax the rest, use credit.

    The discount is spread over the charged lines by amount and never brings the invoice below zero. Prepaid
    credit is money: it pays the total with its tax, and does not lower the tax.
    """
    subtotal_minor = sum(line.amount_minor for line in lines)
    discount_minor = min(discount_minor, max(0, subtotal_minor))
    taxes = tax_lines(_discounted(lines, discount_minor), currency=currency)
    total_minor = subtotal_minor - discount_minor + taxes.total_minor
    return InvoiceTotals(subtotal_minor, discount_minor, taxes, min(credit_minor, max(0, total_minor)))


def _discounted(lines: Sequence[TaxableLine], discount_minor: int) -> list[TaxableLine]:
    if not discount_minor:
        return list(lines)
    parts = allocate(discount_minor, [max(0, line.amount_minor) for line in lines])
    return [
        replace(line, amount_minor=line.amount_minor - part) for line, part in zip(lines, parts, strict=True)
    ]


def credit_unused(paid_minor: int, *, unused: Proration, rate_percent: Decimal, currency: str) -> Credit:
    """Credit the unused days of what was paid before tax, and the tax on the rounded credit.

    200.00 with 29 of 30 days unused at 25 percent: 193.33 and 48.33 of tax.
    """
    amount_minor = round_minor(unused.of(from_minor(paid_minor, currency)), currency)
    return Credit(amount_minor, tax_on(amount_minor, rate_percent=rate_percent, currency=currency))
