import pytest

from billing.charge_words import facts_of


class TestFactsOf:
    def test_say_tiers_in_their_order(self) -> None:
        tiers = [
            {"up_to": "1000", "unit_amount": "0.02"},
            {"up_to": None, "unit_amount": "0.01", "flat_amount": "5"},
        ]
        charge = {"code": "calls", "model": "graduated", "tiers": tiers, "free_units": "100", "minimum": None}

        assert facts_of(charge) == [
            ("Charge", "calls"),
            ("Price", "graduated"),
            ("Tiers", "up to 1000: 0.02 each; beyond: 0.01 each + 5 once"),
            ("Free", "100"),
        ]

    @pytest.mark.parametrize(
        ("charge", "last"),
        [
            ({"code": "fee", "model": "flat", "amount": "49", "prorate": True}, ("Counted by days", "yes")),
            ({"code": "fee", "model": "new_shape", "depth": 3}, ("depth", "3")),
        ],
    )
    def test_leave_nothing_out(self, charge: dict[str, object], last: tuple[str, str]) -> None:
        assert facts_of(charge)[-1] == last
