from datetime import UTC, datetime
from decimal import Decimal

from metering.rating import InstancePrice, Quantities, TokenPrices, explain, rate, to_atto

START = datetime(2026, 1, 1, tzinfo=UTC)


def prices(**per_mtok: str) -> TokenPrices:
    values = {
        "input": "0.20",
        "cached_input": "0.02",
        "cache_write": "0.25",
        "output": "0.60",
        "reasoning": "0.80",
    }
    atto = {name: to_atto(Decimal(value)) for name, value in (values | per_mtok).items()}
    return TokenPrices(id=7, currency="USD", starts_at=START, ends_at=None, **atto)


INSTANCE = InstancePrice(
    id=3, currency="USD", per_hour=to_atto(Decimal("0.526")), starts_at=START, ends_at=None
)


class TestRate:
    def test_charges_tokens_at_the_price_per_million(self) -> None:
        # 480 x 0.20 / 1,000,000 = 0.000096
        rated = rate(Quantities(input_tokens=480), prices(), None)

        assert rated.cost == Decimal("0.000096")
        assert (rated.rate_card_id, rated.instance_rate_id) == (7, None)

    def test_charges_each_token_once_in_its_most_special_class(self) -> None:
        # input 1000 = 600 plain + 300 cached + 100 written; output 500 = 400 plain + 100 reasoning
        # 600 x .20 + 300 x .02 + 100 x .25 + 400 x .60 + 100 x .80 = 120 + 6 + 25 + 240 + 80 = 471 per million
        used = Quantities(
            input_tokens=1000,
            cached_input_tokens=300,
            cache_write_tokens=100,
            output_tokens=500,
            reasoning_tokens=100,
        )

        assert rate(used, prices(), None).cost == Decimal("0.000471")

    def test_adds_the_time_of_the_instance(self) -> None:
        # 230 ms x 0.526 / 3,600,000 = 0.0000336055555...; half away from zero at 18 decimals
        rated = rate(Quantities(input_tokens=480, duration_ms=230), prices(), INSTANCE)

        assert rated.cost == Decimal("0.000096") + Decimal("0.000033605555555556")

    def test_is_zero_without_quantities(self) -> None:
        assert rate(Quantities(), prices(), INSTANCE).cost == 0


class TestExplain:
    def test_has_a_part_for_each_class_whose_amounts_sum_to_the_cost(self) -> None:
        used = Quantities(input_tokens=1000, cached_input_tokens=300, output_tokens=500, duration_ms=230)

        parts = explain(used, prices(), INSTANCE)

        assert [(p.measure, p.quantity) for p in parts] == [
            ("input_tokens", 700),
            ("cached_input_tokens", 300),
            ("output_tokens", 500),
            ("duration_ms", 230),
        ]
        assert sum(p.amount for p in parts) == rate(used, prices(), INSTANCE).cost
