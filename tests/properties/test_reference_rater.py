"""The oracle itself, held against figures that were worked out by hand."""

from fractions import Fraction

from tests.properties.reference_rater import price, price_transactions, to_minor


class TestReferenceRater:
    def test_knows_graduated_tiers(self) -> None:
        tiers = [
            {"up_to": "10", "unit_amount": "10", "flat_amount": "2"},
            {"up_to": None, "unit_amount": "5", "flat_amount": "3"},
        ]

        assert [price({"model": "graduated", "tiers": tiers}, quantity) for quantity in (0, 10, 11)] == [
            2,
            102,
            110,
        ]
        assert [price({"model": "volume", "tiers": tiers}, quantity) for quantity in (0, 10, 11)] == [
            2,
            102,
            58,
        ]

    def test_knows_percentages(self) -> None:
        charge = {"rate": "1.3", "fixed_amount": "2", "free_units": "250", "free_transactions": "3"}

        assert price_transactions(charge, [50, 100, 250, 400]) == Fraction("11.15")

    def test_rounds_halves_away_from_zero(self) -> None:
        assert (to_minor(Fraction("3.685"), 2), to_minor(Fraction("-3.685"), 2)) == (369, -369)
