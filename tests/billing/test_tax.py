from decimal import Decimal

import pytest

from billing.pricing import Proration
from billing.tax import Credit, RateTax, TaxableLine, credit_unused, less_percent, tax_lines, total_invoice


def line(amount_minor: int, rate: str = "20") -> TaxableLine:
    return TaxableLine(amount_minor, Decimal(rate))


class TestTaxLines:
    def test_sums_before_it_rounds(self) -> None:
        # W32, Lago docs fees.md: 20 % of 0.17 + 4.46 = 0.926; line by line it would be 0.03 + 0.89 = 0.92.
        taxes = tax_lines([line(17), line(446)], currency="USD")

        assert taxes.total_minor == 93
        assert 17 + 446 + taxes.total_minor == 556
        assert taxes.line_taxes_minor == (4, 89)

    def test_rounds_each_rate_apart(self) -> None:
        # 20 % of 1.12 = 0.224, 7 % of 0.50 = 0.035
        taxes = tax_lines([line(17), line(50, "7"), line(95)], currency="USD")

        assert taxes.rates == (
            RateTax(Decimal(20), base_minor=112, tax_minor=22),
            RateTax(Decimal(7), base_minor=50, tax_minor=4),
        )
        assert taxes.line_taxes_minor == (3, 4, 19)

    def test_takes_discount_lines_off_the_base(self) -> None:
        # 20 % of 75.00 - 65.00
        taxes = tax_lines([line(7500), line(-6500)], currency="USD")

        assert taxes.line_taxes_minor == (1500, -1300)
        assert taxes.total_minor == 200

    def test_mirrors_a_credit(self) -> None:
        # 20 % of -0.03 is -0.006
        assert tax_lines([line(-1), line(-2)], currency="USD").total_minor == -1

    def test_rounds_to_the_yen(self) -> None:
        # 10 % of 105 yen is 10.5
        assert tax_lines([line(105, "10")], currency="JPY").total_minor == 11

    def test_is_nothing_for_nothing(self) -> None:
        assert tax_lines([], currency="USD").total_minor == 0


class TestTotalInvoice:
    def test_takes_discounts_then_tax_then_credit(self) -> None:
        # W34, Flexprice docs invoices/calculation.mdx: 80 less 25 % and 20 are 80; -10; 8.25 % of 70 = 5.775.
        first = less_percent(8000, percent=Decimal(25), currency="USD")
        lines = [line(first, "8.25"), line(2000, "8.25")]

        totals = total_invoice(lines, discount_minor=1000, credit_minor=500, currency="USD")

        assert (first, totals.subtotal_minor, totals.discount_minor) == (6000, 8000, 1000)
        assert totals.taxes.rates == (RateTax(Decimal("8.25"), base_minor=7000, tax_minor=578),)
        assert (totals.total_minor, totals.credit_used_minor, totals.due_minor) == (7578, 500, 7078)

    def test_never_discounts_below_zero(self) -> None:
        totals = total_invoice([line(300), line(-100)], discount_minor=500, currency="USD")

        assert (totals.discount_minor, totals.taxes.total_minor, totals.total_minor) == (200, 0, 0)

    def test_uses_no_more_credit_than_is_due(self) -> None:
        totals = total_invoice([line(1000)], credit_minor=5000, currency="USD")

        assert (totals.total_minor, totals.credit_used_minor, totals.due_minor) == (1200, 1200, 0)

    def test_spreads_the_discount_over_the_rates(self) -> None:
        # 10.00 over 30.00 at 20 % and 10.00 at 0 %: 22.50 and 7.50 are left.
        totals = total_invoice([line(3000), line(1000, "0")], discount_minor=1000, currency="USD")

        assert [rate.base_minor for rate in totals.taxes.rates] == [2250, 750]
        assert totals.taxes.total_minor == 450


class TestLessPercent:
    def test_is_never_below_zero(self) -> None:
        assert less_percent(100, percent=Decimal(120), currency="USD") == 0


class TestCreditUnused:
    @pytest.mark.parametrize(
        ("paid", "unused", "rate", "credit"),
        [
            # W31, Lago credit_note_rounding_spec.rb
            (20000, Proration(29, 30), "25", Credit(19333, 4833)),
            (16000, Proration(29, 30), "25", Credit(15467, 3867)),
            (2999, Proration(6, 7), "23.33", Credit(2571, 600)),
        ],
    )
    def test_taxes_the_rounded_credit(self, paid: int, unused: Proration, rate: str, credit: Credit) -> None:
        assert credit_unused(paid, unused=unused, rate_percent=Decimal(rate), currency="EUR") == credit

    def test_sums_credit_and_tax(self) -> None:
        assert Credit(19333, 4833).total_minor == 24166
