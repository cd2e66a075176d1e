from decimal import Decimal

import pytest

from billing.pricing.proration import Proration, change_of_fee


class TestChangeOfFee:
    @pytest.mark.parametrize(
        ("old", "new", "left", "credit", "charge"),
        [
            # W27, Flexprice docs understanding-proration.mdx: 33.34 and 435.61 in all.
            ("50", "100", Proration(20, 30), -3333, 6667),
            ("600", "1200", Proration(265, 365), -43562, 87123),
            # Lago docs upgrades-downgrades.md, 20 to 40 on 11 May, credits the full 20 and prints 7.10;
            # by days the credit is 20 x 21/31 = 13.55, the charge 27.10, the difference 13.55.
            ("20", "40", Proration(21, 31), -1355, 2710),
        ],
    )
    def test_rounds_credit_and_charge_each(
        self, old: str, new: str, left: Proration, credit: int, charge: int
    ) -> None:
        lines = change_of_fee(Decimal(old), new_amount=Decimal(new), left=left, currency="USD")

        assert lines == (credit, charge)


class TestProration:
    def test_keeps_half_cents(self) -> None:
        # 0.15 x 1/30 is exactly half a cent.
        assert Proration(1, 30).of(Decimal("0.15")) == Decimal("0.005")
