from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.money import (
    MINOR_EXPONENTS,
    allocate,
    apportion,
    exact,
    from_minor,
    parse_amount,
    round_minor,
    to_text,
)
from tests.properties.reference_rater import to_minor

currencies = st.sampled_from(sorted(MINOR_EXPONENTS))
amounts = st.builds(
    lambda units, places: Decimal(units).scaleb(-places), st.integers(-(10**27), 10**27), st.integers(0, 18)
)
weights = st.lists(st.integers(0, 10**12) | amounts.map(abs), min_size=1, max_size=40)


class TestAllocate:
    @given(st.integers(-(10**15), 10**15), weights)
    def test_sums_to_the_whole(self, total: int, weights: list[Decimal | int]) -> None:
        assert sum(allocate(total, weights)) == total

    @given(st.integers(-(10**15), 10**15), weights)
    def test_stays_within_one_unit_of_exact(self, total: int, weights: list[Decimal | int]) -> None:
        whole = sum(map(Fraction, weights))

        for part, weight in zip(allocate(total, weights), weights, strict=True):
            share = Fraction(weight) / whole if whole else Fraction(1, len(weights))
            assert abs(part - total * share) < 1

    @given(st.integers(0, 10**15), weights)
    def test_mirrors_negative_totals(self, total: int, weights: list[Decimal | int]) -> None:
        assert allocate(-total, weights) == [-part for part in allocate(total, weights)]

    @given(st.integers(-(10**6), 10**6), weights)
    def test_gives_nothing_for_no_weight(self, total: int, weights: list[Decimal | int]) -> None:
        parts = allocate(total, weights)

        assert not any(weights) or all(part == 0 for part, w in zip(parts, weights, strict=True) if not w)

    @given(st.integers(0, 10**6), weights)
    def test_gives_more_for_more_weight(self, total: int, weights: list[Decimal | int]) -> None:
        parts = allocate(total, weights)

        by_weight = sorted(zip(weights, parts, strict=True))
        assert [part for _, part in by_weight] == sorted(parts) or _differ_only_within_ties(by_weight)


def _differ_only_within_ties(by_weight: list[tuple[Decimal | int, int]]) -> bool:
    return all(
        low_part <= high_part
        for low, low_part in by_weight
        for high, high_part in by_weight
        if Fraction(low) < Fraction(high)
    )


class TestApportion:
    @given(st.lists(st.fractions(-(10**6), 10**6, max_denominator=1000), max_size=30))
    def test_keeps_a_rounded_sum_and_stays_within_one_unit(self, shares: list[Fraction]) -> None:
        total = to_minor(sum(shares, Fraction(0)), 0)

        parts = apportion(total, shares)

        assert sum(parts) == total
        assert all(abs(part - share) <= 1 for part, share in zip(parts, shares, strict=True))


class TestRoundMinor:
    @given(amounts, currencies)
    def test_agrees_with_fractions(self, amount: Decimal, currency: str) -> None:
        assert round_minor(amount, currency) == to_minor(Fraction(amount), MINOR_EXPONENTS[currency])

    @given(amounts, currencies)
    def test_treats_both_signs_alike(self, amount: Decimal, currency: str) -> None:
        assert round_minor(-amount, currency) == -round_minor(amount, currency)

    @given(st.integers(-(10**20), 10**20), currencies)
    def test_undoes_from_minor(self, amount_minor: int, currency: str) -> None:
        assert round_minor(from_minor(amount_minor, currency), currency) == amount_minor


class TestText:
    @given(amounts.filter(lambda amount: abs(amount) < 10**20))
    def test_is_read_back_unchanged(self, amount: Decimal) -> None:
        assert parse_amount(to_text(amount), field="amount") == amount

    @given(st.integers(-(10**9), 10**9), st.integers(1, 400), currencies)
    def test_rounds_like_the_amount_it_was_cut_from(self, whole: int, part: int, currency: str) -> None:
        with exact():
            amount = Decimal(whole) / part

        assert round_minor(Decimal(to_text(amount)), currency) == round_minor(amount, currency)
