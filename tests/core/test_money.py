from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.core.errors import InvalidInput
from marketplace.core.money import (
    MINOR_EXPONENTS,
    FloatLiteral,
    allocate,
    apportion,
    exact,
    format_amount,
    format_money,
    from_minor,
    minor_exponent,
    parse_amount,
    round_minor,
    to_text,
)


class TestMinorExponent:
    @pytest.mark.parametrize(
        ("currency", "exponent"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3)]
    )
    def test_follows_iso_4217(self, currency: str, exponent: int) -> None:
        assert minor_exponent(currency) == exponent

    @pytest.mark.parametrize("currency", ["usd", "XXX", "HRK", "", "US", None, 840])
    def test_refuses_what_is_not_a_currency_in_circulation(self, currency: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            minor_exponent(currency)

        assert refused.value.field == "currency"

    def test_knows_only_three_letter_codes(self) -> None:
        assert all(len(code) == 3 and code.isupper() for code in MINOR_EXPONENTS)


class TestRoundMinor:
    @pytest.mark.parametrize(
        ("amount", "currency", "expected"),
        [
            # killbill #1124 and Flexprice billing_rounding_test.go; half-even would give 368, 1012.
            ("3.685", "USD", 369),
            ("10.125", "USD", 1013),
            ("10.275", "USD", 1028),
            ("-3.685", "USD", -369),
            ("-0.005", "USD", -1),
            ("0.004999999999999999", "USD", 0),
            ("2.5", "JPY", 3),
            ("-2.5", "JPY", -3),
            ("1.2345", "KWD", 1235),
            ("0", "USD", 0),
        ],
    )
    def test_rounds_halves_away_from_zero(self, amount: str, currency: str, expected: int) -> None:
        assert round_minor(Decimal(amount), currency) == expected

    def test_keeps_every_digit_of_the_longest_product(self) -> None:
        # 20 nines by 20 nines: (10^20 - 1)^2 = 10^40 - 2 x 10^20 + 1, in cents.
        with exact():
            amount = Decimal("9" * 20) * Decimal("9" * 20)

        assert round_minor(amount, "USD") == (10**40 - 2 * 10**20 + 1) * 100

    def test_refuses_floats(self) -> None:
        with pytest.raises(TypeError):
            round_minor(1.5, "USD")  # type: ignore[arg-type]


class TestFromMinor:
    def test_undoes_rounding(self) -> None:
        assert from_minor(1250, "USD") == Decimal("12.50")
        assert from_minor(500, "JPY") == Decimal("500")
        assert from_minor(-1234, "KWD") == Decimal("-1.234")


class TestParseAmount:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("12.50", "12.50"),
            (" 7 ", "7"),
            ("-0.000000000000000001", "-0.000000000000000001"),
            ("99999999999999999999", "99999999999999999999"),
            (12, "12"),
            (Decimal("1E+3"), "1000"),
            ("-0", "0"),
            ("0" * 50 + "1.5" + "0" * 50, "1.5"),
        ],
    )
    def test_reads_plain_decimals(self, given: object, expected: str) -> None:
        assert parse_amount(given, field="price") == Decimal(expected)

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            (1.5, "float_not_allowed"),
            (FloatLiteral("1.5"), "float_not_allowed"),
            (True, "not_a_number"),
            (None, "not_a_number"),
            ([], "not_a_number"),
            ("", "not_a_number"),
            ("NaN", "not_a_number"),
            ("Infinity", "not_a_number"),
            (Decimal("NaN"), "not_a_number"),
            (Decimal("-Infinity"), "not_a_number"),
            ("1e5", "not_a_number"),
            ("1,000", "not_a_number"),
            ("1_000", "not_a_number"),
            ("٣", "not_a_number"),
            (".5", "not_a_number"),
            ("5.", "not_a_number"),
            ("+5", "not_a_number"),
            ("1" * 21, "too_many_digits"),
            (10**20, "too_many_digits"),
            pytest.param(-(10**5000), "too_many_digits", id="more digits than Python writes"),
            (Decimal("1E+400"), "too_many_digits"),
            ("0." + "1" * 19, "too_many_decimals"),
            (Decimal("1E-19"), "too_many_decimals"),
        ],
    )
    def test_refuses_everything_else_and_names_the_field(self, given: object, code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_amount(given, field="tiers[0].unit_amount")

        assert (refused.value.field, refused.value.code) == ("tiers[0].unit_amount", code)


class TestAllocate:
    @pytest.mark.parametrize(
        ("total", "weights", "parts"),
        [
            # OpenMeter pkg/currencyx/allocation_test.go
            (5, [1, 1, 1], [2, 2, 1]),
            (10000, [1, 2, 3], [1667, 3333, 5000]),
            (1, [100, 1], [1, 0]),
            (600, [10, 5], [400, 200]),
            # Ties go to the earlier part; zero weights get nothing unless all are zero.
            (1, [1, 1], [1, 0]),
            (2, [0, 1, 1], [0, 1, 1]),
            (7, [0, 0, 0], [3, 2, 2]),
            (0, [3, 4], [0, 0]),
            (-5, [1, 1, 1], [-2, -2, -1]),
            (100, [Decimal("0.1"), Decimal("0.2")], [33, 67]),
            (10**30, [1, 3], [25 * 10**28, 75 * 10**28]),
        ],
    )
    def test_splits_by_largest_remainder(self, total: int, weights: list[int], parts: list[int]) -> None:
        assert allocate(total, weights) == parts

    @pytest.mark.parametrize("weights", [[], [1, -1]])
    def test_refuses_nobody_and_negative_weights(self, weights: list[int]) -> None:
        with pytest.raises(ValueError, match="allocation"):
            allocate(100, weights)


class TestApportion:
    def test_keeps_signs(self) -> None:
        # Exact sum -0.5, rounded away from zero to -1.
        assert apportion(-1, [Fraction(3, 10), Fraction(-8, 10)]) == [0, -1]

    def test_refuses_a_total_that_is_not_the_sum(self) -> None:
        with pytest.raises(ValueError, match="do not sum"):
            apportion(9, [Fraction(1), Fraction(2)])


class TestToText:
    @pytest.mark.parametrize(
        ("amount", "text"),
        [("127.50", "127.5"), ("1E+3", "1000"), ("-0.00", "0"), ("1E-36", "0." + "0" * 35 + "1")],
    )
    def test_writes_plain_digits(self, amount: str, text: str) -> None:
        assert to_text(Decimal(amount)) == text

    def test_cuts_what_never_ends_without_rounding_it_up(self) -> None:
        with exact():
            two_thirds = Decimal(2) / 3

        assert to_text(two_thirds) == "0.666666666666666666"


class TestFormatMoney:
    @pytest.mark.parametrize(
        ("amount_minor", "currency", "text"),
        [
            (123450, "USD", "$1,234.50"),
            (1200, "EUR", "€12.00"),
            (500, "JPY", "¥500"),
            (1234, "KWD", "KWD 1.234"),
            (-500, "USD", "-$5.00"),
            (-123456789, "CHF", "-CHF 1,234,567.89"),
            (0, "GBP", "£0.00"),
        ],
    )
    def test_shows_symbol_separators_and_decimals(self, amount_minor: int, currency: str, text: str) -> None:
        assert format_money(amount_minor, currency) == text


class TestFormatAmount:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [("0.0002", "USD", "$0.0002"), ("12.5", "USD", "$12.50"), ("1234.500", "JPY", "¥1,234.5")],
    )
    def test_shows_every_decimal(self, amount: str, currency: str, text: str) -> None:
        assert format_amount(Decimal(amount), currency) == text
