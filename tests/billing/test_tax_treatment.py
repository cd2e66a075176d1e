from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.tax_treatment import NoTaxRate, Place, Rates, Treatment, code_of, percent_of, treatment
from tests.billing.parties import AUSTRIAN_VAT_ID, FRENCH_VAT_ID, GERMAN_VAT_ID

GERMANY = Place("DE", GERMAN_VAT_ID)
AT = datetime(2026, 10, 31, tzinfo=UTC)


class TestTreatment:
    @pytest.mark.parametrize(
        ("buyer", "expected"),
        [
            (Place("DE"), Treatment("", country="DE")),
            (Place("DE", GERMAN_VAT_ID), Treatment("", country="DE")),
            (Place("FR", FRENCH_VAT_ID), Treatment("AE")),
            # One digit is wrong: not a business that we know of, so it pays its own country's rate.
            (Place("FR", "FR23334175222"), Treatment("", country="FR")),
            # A number of another country proves nothing.
            (Place("FR", AUSTRIAN_VAT_ID), Treatment("", country="FR")),
            (Place("FR"), Treatment("", country="FR")),
            (Place("GB", "GB980780684"), Treatment("O")),
            (Place("US"), Treatment("O")),
            (Place(""), Treatment("", country="DE")),
        ],
    )
    def test_follows_where_the_buyer_is(self, buyer: Place, expected: Treatment) -> None:
        assert treatment(GERMANY, buyer) == expected

    def test_leaves_tax_out_when_the_seller_is_registered_nowhere(self) -> None:
        assert treatment(Place("US"), Place("DE", GERMAN_VAT_ID)) == Treatment("O")

    def test_puts_a_certificate_before_everything_else(self) -> None:
        assert treatment(GERMANY, Place("DE"), exempt_because="§ 4 (EX-1)") == Treatment(
            "E", reason="§ 4 (EX-1)"
        )

    def test_of_a_seller_outside_the_eu_knows_no_reverse_charge(self) -> None:
        assert treatment(Place("GB", "GB980780684"), Place("FR", FRENCH_VAT_ID)) == Treatment("O")


class TestRates:
    RATES = Rates(
        {
            ("DE", "standard"): (
                (datetime(2021, 1, 1, tzinfo=UTC), Decimal(19)),
                (datetime(2020, 7, 1, tzinfo=UTC), Decimal(16)),
                (datetime(2007, 1, 1, tzinfo=UTC), Decimal(19)),
            ),
        }
    )

    def test_hold_from_their_first_moment_on(self) -> None:
        before = datetime(2020, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC)

        assert self.RATES.percent("DE", "standard", at=before) == 19
        assert self.RATES.percent("DE", "standard", at=datetime(2020, 7, 1, tzinfo=UTC)) == 16
        assert self.RATES.percent("DE", "standard", at=AT) == 19

    def test_are_never_silently_zero(self) -> None:
        with pytest.raises(NoTaxRate, match="reduced tax rate of DE"):
            percent_of(Treatment("", country="DE"), "reduced", rates=self.RATES, at=AT)

    def test_of_the_category_zero_need_no_table(self) -> None:
        assert percent_of(Treatment("", country="DE"), "zero", rates=self.RATES, at=AT) == 0

    def test_do_not_matter_where_no_tax_applies(self) -> None:
        assert percent_of(Treatment("AE"), "reduced", rates=Rates({}), at=AT) == 0


class TestCode:
    def test_is_of_the_document_or_of_the_rate(self) -> None:
        assert [
            code_of("AE", Decimal(0)),
            code_of("", Decimal(19)),
            code_of("", Decimal(7)),
            code_of("", Decimal(0)),
        ] == ["AE", "S", "S", "Z"]
