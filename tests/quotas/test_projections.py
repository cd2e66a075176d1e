from datetime import date, timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog.models import Subscription
from metering import ingest
from quotas import projections
from quotas.demand import Band
from quotas.models import Limit
from quotas.owners import Owner, owner_of
from quotas.projections import Day
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.usage_world import used

D = Decimal
FIRST = date(2026, 11, 1)


def days(*amounts: int, cost: str = "0.10") -> list[Day]:
    """Days of calls of 0.10 each."""
    return [Day(FIRST + timedelta(number), D(value), value * D(cost)) for number, value in enumerate(amounts)]


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    factories.make_model("llm-8b")
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    return factories.make_subscription(app, cast.consumer_team)


@pytest.fixture
def owner(subscription: Subscription) -> Owner:
    return owner_of("subscription", subscription)


def use(subscription: Subscription, *, days: int, calls: int) -> None:
    """Use so many calls of a million tokens, 0.20 each, on each of the days before today."""
    ingest.record(
        [
            used(
                subscription,
                f"{subscription.pk}-{day}-{call}",
                at=NOW - timedelta(days=day),
                input_tokens=1_000_000,
                latency_ms=1000,
            )
            for day in range(1, days + 1)
            for call in range(calls)
        ],
        at=NOW,
    )


class TestOfHistory:
    def test_multiplies_use_by_its_price(self) -> None:
        projection = projections.of_history(
            days(*[50] * 10),
            measure="requests",
            window="day",
            granted=D(200),
            present=D(100),
            latency_ms=None,
            currency="USD",
        )

        # 50 × 30 = 1,500 calls of 0.10; used in full 200 × 30 × 0.10.
        assert projection.cost == Band(D(150), D(150), D(150))
        assert (projection.now_cost, projection.most_cost) == (D(150), D(600))
        assert (projection.p95, projection.peak) == (D(50), D(50))
        assert "The last 10 full days again, grown 1.00×" in projection.method

    def test_says_nothing_of_less_than_a_week(self) -> None:
        projection = projections.of_history(
            days(1, 1),
            measure="requests",
            window="day",
            granted=D(2),
            present=None,
            latency_ms=None,
            currency="USD",
        )

        assert (projection.cost, projection.growth) == (None, None)
        assert projection.method.startswith("Less than a week of use")

    def test_survives_being_kept(self) -> None:
        projection = projections.of_history(
            days(*[50] * 10),
            measure="requests",
            window="day",
            granted=D(200),
            present=None,
            latency_ms=None,
            currency="USD",
        )

        kept = projections.from_json(projection.as_json())

        assert kept is not None
        assert (kept.cost, kept.method, kept.days) == (projection.cost, projection.method, ())
        assert projections.from_json({}) is None


class TestLeftOfBudget:
    def limit(self, currency: str = "USD") -> Limit:
        return Limit(limit_value=D(1000), currency=currency, mode="hard")

    def projection(self) -> projections.Projection:
        # 50 a day, of which five days reached 95 % of 50 and so reach 100: growth 1, 100 × 10 × 3 = 3,000 calls for 300.
        return projections.of_history(
            days(*[50] * 10),
            measure="requests",
            window="day",
            granted=D(100),
            present=D(50),
            latency_ms=None,
            currency="USD",
        )

    def test_takes_off_what_the_center_costs_and_what_is_added(self) -> None:
        left = projections.left_of_budget(self.projection(), limit=self.limit(), label="CC-1", now=D(700))

        # 1,000 − 700 = 300 now. Low stays at 150 as now. Expected 300 adds 150.
        assert left is not None
        assert left.after == Band(D(300), D(150), D(150))

    def test_of_the_budget_itself_is_of_what_is_granted(self) -> None:
        left = projections.left_of_budget(
            self.projection(), limit=self.limit(), label="CC-1", now=D(50), is_budget_itself=True
        )

        assert left is not None
        assert left.budget == D(100)

    def test_is_not_known_in_another_currency(self) -> None:
        limit = self.limit("EUR")

        assert projections.left_of_budget(self.projection(), limit=limit, label="CC-1", now=D(0)) is None


class TestProject:
    def test_looks_at_the_owners_full_days(self, owner: Owner, subscription: Subscription) -> None:
        use(subscription, days=10, calls=2)

        projection = projections.project(owner, measure="requests", window="day", granted=D(2000), at=NOW)

        # 2 a day are 60 in thirty, of 0.20 each.
        assert projection.cost == Band(D(12), D(12), D(12))
        assert [day.amount for day in projection.days] == [D(2)] * 10
        # The plan allows 1,000 a day; 2,000 a day in full are 60,000 calls.
        assert (projection.present, projection.most_cost) == (D(1000), D(12_000))
        assert projection.budget is None

    def test_leaves_out_today_and_others(self, cast: Cast, owner: Owner, subscription: Subscription) -> None:
        use(subscription, days=8, calls=1)
        other = factories.make_subscription(subscription.app, cast.creator_team)
        use(other, days=8, calls=3)
        ingest.record(
            [used(subscription, "today", at=NOW - timedelta(hours=1), input_tokens=1_000_000)], at=NOW
        )

        projection = projections.project(owner, measure="tokens", window="month", granted=D(10**9), at=NOW)

        assert projection.now_cost == D(6)
        assert projection.amount == Band(D(30_000_000), D(30_000_000), D(30_000_000))

    def test_says_what_is_left_of_the_cost_centers_budget(
        self, cast: Cast, owner: Owner, subscription: Subscription
    ) -> None:
        use(subscription, days=28, calls=1)
        use(factories.make_subscription(subscription.app, cast.creator_team), days=28, calls=4)
        Limit.objects.create(
            cost_center=cast.cost_center,
            measure="cost",
            window="month",
            currency="USD",
            limit_value=D(50),
            starts_at=LONG_AGO,
        )

        budget = projections.project(owner, measure="requests", window="day", granted=D(2000), at=NOW).budget

        # Both teams book on it: 5 calls a day of 0.20 are 30 in thirty days. Nothing is added.
        assert budget is not None
        assert (budget.now, budget.after.expected, budget.label) == (D(30), D(20), str(cast.cost_center))

    def test_of_a_new_owner_takes_what_the_apps_calls_cost_others(
        self, cast: Cast, owner: Owner, subscription: Subscription
    ) -> None:
        use(factories.make_subscription(subscription.app, cast.creator_team), days=8, calls=1)

        projection = projections.project(owner, measure="requests", window="month", granted=D(100), at=NOW)

        assert projection.cost == Band(D(0), D(20), D(20))
        assert projection.method.startswith("Less than a week of use")

    def test_of_what_nobody_used_is_not_known(self, owner: Owner) -> None:
        projection = projections.project(owner, measure="requests", window="month", granted=D(100), at=NOW)

        assert (projection.cost, projection.most_cost, projection.price) == (None, None, None)

    def test_of_calls_at_a_time_is_bounded_by_their_length(
        self, owner: Owner, subscription: Subscription
    ) -> None:
        use(subscription, days=8, calls=1)

        projection = projections.project(owner, measure="concurrency", window="minute", granted=D(2), at=NOW)

        # Two at a time of one second each: 172,800 a day, 5,184,000 in thirty, of 0.20.
        assert projection.most_cost == D(1_036_800)

    def test_asks_few_questions(
        self,
        cast: Cast,
        owner: Owner,
        subscription: Subscription,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        use(subscription, days=8, calls=1)
        Limit.objects.create(
            cost_center=cast.cost_center,
            measure="cost",
            window="month",
            currency="USD",
            limit_value=D(50),
            starts_at=LONG_AGO,
        )

        with django_assert_max_num_queries(5):
            projections.project(owner, measure="requests", window="day", granted=D(9), at=NOW)
