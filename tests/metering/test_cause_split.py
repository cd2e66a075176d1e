from decimal import Decimal

from metering.cause_split import CauseSplit, Used, split


def used(requests: int, units: int, cost: str) -> Used:
    return Used(Decimal(requests), Decimal(units), Decimal(cost))


class TestSplit:
    def test_of_more_calls_is_volume(self) -> None:
        # Three times the calls, of the same length, at the same price.
        found = split({"llm": used(100, 1_000, "10")}, {"llm": used(300, 3_000, "30")})

        assert found == CauseSplit(volume=Decimal(20), mix=Decimal(0), price=Decimal(0))

    def test_of_longer_calls_is_mix(self) -> None:
        found = split({"llm": used(100, 1_000, "10")}, {"llm": used(100, 3_000, "30")})

        assert found == CauseSplit(volume=Decimal(0), mix=Decimal(20), price=Decimal(0))

    def test_of_dearer_tokens_is_price(self) -> None:
        found = split({"llm": used(100, 1_000, "10")}, {"llm": used(100, 1_000, "30")})

        assert found == CauseSplit(volume=Decimal(0), mix=Decimal(0), price=Decimal(20))

    def test_of_all_three(self) -> None:
        # Before: 100 calls for 10 (8 and 2), 0.10 a call. Now 150: 50 more calls are 5. At the usual prices of a token
        # (0.01 and 0.02) the 500 and 1,500 tokens cost 5 + 30 = 35: 35 - 10 - 5 = 20 is mix. They cost 41: 6 is price.
        usual = {"small": used(90, 800, "8"), "large": used(10, 100, "2")}
        now = {"small": used(50, 500, "5"), "large": used(100, 1_500, "36")}

        assert split(usual, now) == CauseSplit(volume=Decimal(5), mix=Decimal(20), price=Decimal(6))

    def test_of_a_new_model_is_mix(self) -> None:
        usual = {"small": used(100, 1_000, "10")}
        now = {"small": used(50, 500, "5"), "new": used(50, 500, "50")}

        assert split(usual, now) == CauseSplit(volume=Decimal(0), mix=Decimal(45), price=Decimal(0))

    def test_of_an_app_without_a_day_before_is_volume(self) -> None:
        assert split({}, {"llm": used(1, 1, "7")}) == CauseSplit(Decimal(7), Decimal(0), Decimal(0))
