from decimal import Decimal

from marketplace.gateway.asking import Way, ways
from marketplace.gateway.router import Need, Offer, Route
from metering.rating import TokenPrices
from quotas.admission import Estimate
from tests.factories import LONG_AGO

NEED = Need("auto", 1_000, 500)


def offer(model: str, model_class: str, per_mtok: int, provider: str = "demo") -> Offer:
    """An offer whose every token costs the same, in dollars a million."""
    atto = per_mtok * 10**18
    prices = TokenPrices(0, "USD", atto, atto, atto, atto, atto, LONG_AGO, None)
    return Offer(model, model_class, 100_000, provider, model, prices)


SMALL, SMALL_DEARER = offer("llm-8b", "small", 1), offer("llm-8b", "small", 2, "other")
LARGE = offer("llm-70b", "large", 10)


def models(way: Way) -> list[tuple[str, str, int]]:
    return [(one.model, one.provider, way.need.output_tokens) for one in way.route.offers]


class TestWays:
    def test_begins_with_everything_at_the_dearest_price(self) -> None:
        first = ways(Route((SMALL, SMALL_DEARER, LARGE), "cheapest"), NEED)[0]

        # 1,500 tokens at 10 a million
        assert first.estimate == Estimate(1_500, Decimal("0.015"), ("small", "large"), "llm-8b")

    def test_is_one_where_there_is_no_choice(self) -> None:
        assert len(ways(Route((SMALL,), "named"), NEED)) == 1

    def test_goes_on_with_each_class_and_then_its_cheapest_offer(self) -> None:
        found = ways(Route((SMALL, SMALL_DEARER, LARGE), "cheapest"), NEED)

        assert [models(way) for way in found[1:]] == [
            [("llm-8b", "demo", 500), ("llm-8b", "other", 500)],
            [("llm-70b", "demo", 500)],
            [("llm-8b", "demo", 500)],
        ]
        assert found[2].estimate.classes == ("large",)

    def test_ends_with_answers_as_long_as_they_usually_are(self) -> None:
        found = ways(Route((SMALL, LARGE), "cheapest"), NEED, usual_output={"llm-8b": 40, "llm-70b": 900}.get)

        assert models(found[-1]) == [("llm-8b", "demo", 40)]
        # 1,040 tokens at 1 a million
        assert found[-1].estimate.cost == Decimal("0.00104")
        assert len(found) == 4

    def test_never_asks_for_more_than_before(self) -> None:
        costs = [
            way.estimate.cost
            for way in ways(Route((SMALL, SMALL_DEARER, LARGE), ""), NEED, usual_output=lambda _: 40)
        ]

        assert max(costs) == costs[0]
