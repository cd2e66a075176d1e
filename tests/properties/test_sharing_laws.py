"""Laws of splitting what was billed: revenue shares, taxes, discounts."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.revenue_share import Basis, split
from billing.tax import TaxableLine, tax_lines, total_invoice

prices = st.integers(0, 10**10).map(lambda units: Decimal(units).scaleb(-6))
shares = st.integers(0, 10**4).map(lambda units: Decimal(units).scaleb(-4))
bases: st.SearchStrategy[Basis] = st.sampled_from(["gross", "net_of_cost"])
currencies = st.sampled_from(["USD", "JPY", "KWD"])
lines = st.lists(
    st.builds(
        TaxableLine,
        st.integers(-(10**6), 10**6),
        st.sampled_from([Decimal(0), Decimal(7), Decimal("8.25"), Decimal(19)]),
    ),
    max_size=12,
)


class TestRevenueShare:
    @given(prices, prices, shares, bases, currencies)
    def test_sums_to_the_price(
        self, price: Decimal, cost: Decimal, share: Decimal, basis: Basis, currency: str
    ) -> None:
        result = split(price, platform_cost=cost, share=share, basis=basis, currency=currency)

        assert Fraction(result.creator) + Fraction(result.platform) == Fraction(price)
        assert sum(result.minor_parts()) == _rounded(price, currency)
        assert result.creator >= 0
        assert result.platform >= 0

    @given(prices, prices, bases)
    def test_breaks_even_at_the_share_it_names(self, price: Decimal, cost: Decimal, basis: Basis) -> None:
        share = split(
            price, platform_cost=cost, share=Decimal(0), basis=basis, currency="USD"
        ).break_even_share

        if share is None:
            share = Decimal(1)
            expected = False
        else:
            expected = True
        result = split(price, platform_cost=cost, share=share, basis=basis, currency="USD")
        assert result.is_sustainable == expected


class TestTax:
    @given(lines, currencies)
    def test_is_carried_by_the_lines_without_rest(self, lines: list[TaxableLine], currency: str) -> None:
        taxes = tax_lines(lines, currency=currency)

        assert sum(taxes.line_taxes_minor) == taxes.total_minor
        assert sum(rate.base_minor for rate in taxes.rates) == sum(line.amount_minor for line in lines)

    @given(lines, st.integers(0, 10**6), st.integers(0, 10**6))
    def test_follows_discounts_that_never_go_below_zero(
        self, lines: list[TaxableLine], discount: int, credit: int
    ) -> None:
        totals = total_invoice(lines, discount_minor=discount, credit_minor=credit, currency="USD")

        assert 0 <= totals.discount_minor <= max(0, totals.subtotal_minor)
        assert 0 <= totals.credit_used_minor <= max(0, totals.total_minor)
        base = sum(rate.base_minor for rate in totals.taxes.rates)
        assert base == totals.subtotal_minor - totals.discount_minor


def _rounded(price: Decimal, currency: str) -> int:
    scaled = Fraction(price) * {"USD": 100, "JPY": 1, "KWD": 1000}[currency]
    return int(scaled + Fraction(1, 2))
