from decimal import Decimal

from billing import free_plans
from billing.sustainability import SoldPlan, judge
from billing.thresholds import Thresholds
from marketplace.catalog.projections import from_json
from tests.billing.test_sustainability import FEE, outlook, per_call, rules, sold

D = Decimal
ALLOWED = Thresholds(free_cost=D(2), free_currency="USD", free_per_paying=20)


def free(quota: int, *, is_proposed: bool = False) -> SoldPlan:
    return SoldPlan("free", "Free", [], quota, is_proposed)


class TestAFreePlan:
    def test_passes_when_its_quota_costs_no_more_than_the_platform_gives(self) -> None:
        # 200 calls of 0.01 cost 2.00, which is given; 201 cost 2.01.
        assert rules(outlook(sold(FEE), free(200))) == []
        assert rules(outlook(sold(FEE), free(201))) == [("margin.free-plan", "medium")]

    def test_is_judged_at_the_upper_end_of_the_cost(self) -> None:
        # 150 calls cost 1.50 in the middle, 3.00 at the upper end. 4,000 calls leave 50 - 40 = 10, of which the
        # platform keeps a fifth: not even one is carried.
        found = outlook(sold(FEE), free(150), calls=4_000, cost="0.01", high="0.02")

        assert ("margin.free-plan", "medium") in rules(found)

    def test_passes_when_one_who_pays_carries_enough_of_them(self) -> None:
        # 1,000 calls leave 50 - 10 = 40, of which the platform keeps 8. 250 free calls cost 2.50: 8 / 2.50 = 3 whole.
        found = outlook(sold(FEE), free(250))

        assert free_plans.carried_by_one(found.plans[1], found) == 3
        assert rules(found, free_per_paying=3) == []  # type: ignore[arg-type]
        assert rules(found, free_per_paying=4) == [("margin.free-plan", "medium")]  # type: ignore[arg-type]

    def test_is_free_when_all_calls_of_its_quota_are(self) -> None:
        # Up to 300 calls a month, of which 300 are free: nothing is ever billed.
        never_billed = SoldPlan("trial", "Trial", [per_call("0.02", free="300")], 300, False)
        billed = SoldPlan("trial", "Trial", [per_call("0.02", free="299")], 300, False)

        assert outlook(sold(FEE), never_billed).plans[1].is_free
        assert not outlook(sold(FEE), billed).plans[1].is_free

    def test_warns_when_nobody_pays_for_the_app(self) -> None:
        assert rules(outlook(free(200, is_proposed=True))) == [("margin.nobody-pays", "medium")]

    def test_fails_when_it_is_dear_and_all_there_is(self) -> None:
        assert rules(outlook(free(1_000, is_proposed=True))) == [("margin.free-plan", "high")]

    def test_is_not_given_in_a_currency_nobody_named(self) -> None:
        found = outlook(sold(FEE), free(200))
        elsewhere = Thresholds(free_currency="EUR")

        assert [one.rule for one in judge(found, thresholds=elsewhere)] == ["margin.free-plan"]

    def test_says_its_bound_who_carries_it_and_what_is_allowed(self) -> None:
        found = outlook(sold(FEE), free(250))

        assert free_plans.in_words(found.plans[1], found, ALLOWED) == (
            "Free brings nothing: its quota of 250 calls a month costs at most $2.50 for each subscriber, at the upper end "
            "of the cost of a call. One subscriber on Standard leaves $8.00 and carries 3 such subscribers. "
            "Allowed: up to $2.00 a month for each, or one who pays for every 20 who do not."
        )

    def test_survives_being_stored(self) -> None:
        found = outlook(sold(FEE), free(250))

        assert from_json(found.as_json()) == found
