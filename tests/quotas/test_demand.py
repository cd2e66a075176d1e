from decimal import Decimal

import pytest

from quotas.demand import Band, Bounds, bounds, demand, growth_of, percentile, unit_price

D = Decimal
NO_BOUND = Bounds(None, None)


def days(*values: int) -> list[Decimal]:
    return [D(value) for value in values]


class TestBounds:
    @pytest.mark.parametrize(
        ("measure", "window", "value", "day", "month"),
        [
            # 2 a minute: 2 × 1,440 minutes = 2,880 a day, 86,400 in 30 days.
            ("requests", "minute", "2", "2880", "86400"),
            ("requests", "day", "100", "100", "3000"),
            ("tokens", "month", "5000", None, "5000"),
        ],
    )
    def test_multiply_by_the_windows_of_a_month(
        self, measure: str, window: str, value: str, day: str | None, month: str
    ) -> None:
        found = bounds(measure=measure, window=window, value=D(value))

        assert found == Bounds(None if day is None else D(day), D(month))

    def test_of_concurrency_are_calls_one_after_the_other(self) -> None:
        # 3 at a time of 2 s each: 3 × 86,400 s / 2 s = 129,600 a day.
        found = bounds(measure="concurrency", window="minute", value=D(3), latency_ms=2000)

        assert found == Bounds(D(129_600), D(3_888_000))

    def test_of_concurrency_are_unknown_without_a_latency(self) -> None:
        assert bounds(measure="concurrency", window="minute", value=D(3)) == NO_BOUND


class TestGrowth:
    def test_compares_the_halves(self) -> None:
        # 10 + 10 = 20 before, 15 + 15 = 30 after: 1.5.
        assert growth_of(days(10, 10, 15, 15)) == D("1.50")

    def test_is_bounded(self) -> None:
        assert growth_of(days(1, 1, 100, 100)) == D(2)
        assert growth_of(days(100, 100, 1, 1)) == D("0.5")

    def test_is_one_where_nothing_was_used_before(self) -> None:
        assert growth_of(days(0, 0, 5, 5)) == D(1)


class TestDemand:
    def test_of_steady_days_is_what_they_were(self) -> None:
        # 10 days of 50: 5 × 30 × 10 = 1,500 a month, whatever the room above.
        found = demand(
            days(*[50] * 10),
            window="day",
            present=D(100),
            granted=D(200),
            lets_through=Bounds(D(200), D(6000)),
        )

        assert found is not None
        assert found.amount == Band(D(1500), D(1500), D(1500))
        assert (found.now, found.growth) == (D(1500), D(1))

    def test_takes_days_that_reached_the_limit_to_reach_the_granted_one(self) -> None:
        # Ten days, scaled by 3. Five of 96 reached 95 % of 100; growth (96×5)/(40×5) = 2.4, cut to 2.
        # Low: (40×5 + 96×5) × 3 = 2,040. Expected: 40 × 2 = 80 on five days, 200 on five: (400 + 1,000) × 3 = 4,200.
        # High: the busiest, 200, on 30 days: 6,000.
        found = demand(
            days(*[40] * 5, *[96] * 5),
            window="day",
            present=D(100),
            granted=D(200),
            lets_through=Bounds(D(200), D(6000)),
        )

        assert found is not None
        assert found.amount == Band(D(2040), D(4200), D(6000))

    def test_never_exceeds_what_the_grant_lets_through(self) -> None:
        # A grant below what is used: 60 a day of the 100 that were used, 1,800 a month.
        found = demand(
            days(*[100] * 8), window="day", present=D(100), granted=D(60), lets_through=Bounds(D(60), D(1800))
        )

        assert found is not None
        assert found.amount == Band(D(1800), D(1800), D(1800))
        assert found.now == D(3000)

    def test_of_a_month_that_was_used_up_reaches_the_granted_one(self) -> None:
        # 100 a day are 3,000 a month, all of the present limit: what was held back nobody knows, so all of 5,000.
        found = demand(
            days(*[100] * 10),
            window="month",
            present=D(3000),
            granted=D(5000),
            lets_through=Bounds(None, D(5000)),
        )

        assert found is not None
        assert found.amount == Band(D(3000), D(5000), D(5000))

    def test_shrinks_only_when_it_is_low(self) -> None:
        # 60 before, 30 after: growth 0.5. Days (20, 20, 20, 20, 10, 10, 10, 10): 120, × 30/8 = 450 now.
        found = demand(
            days(20, 20, 20, 20, 10, 10, 10, 10),
            window="day",
            present=None,
            granted=D(99),
            lets_through=NO_BOUND,
        )

        assert found is not None
        assert found.now == D(450)
        # Half of it: 225 low and expected; the busiest day, 10, thirty times: 300.
        assert found.amount == Band(D(225), D(225), D(300))

    def test_needs_a_week(self) -> None:
        assert demand(days(*[1] * 6), window="day", present=None, granted=D(9), lets_through=NO_BOUND) is None


class TestUnitPrice:
    def test_is_that_of_weeks_and_of_all(self) -> None:
        # Seven days of 10 for 1 each (0.1), seven of 10 for 2 each (0.2); together 21 / 140 = 0.15.
        price = unit_price(days(*[10] * 14), days(*[1] * 7, *[2] * 7))

        assert price == Band(D("0.1"), D("0.15"), D("0.2"))

    def test_leaves_out_weeks_without_use(self) -> None:
        price = unit_price(days(*[0] * 7, *[10] * 7), days(*[0] * 7, *[1] * 7))

        assert price == Band(D("0.1"), D("0.1"), D("0.1"))

    def test_is_unknown_without_use(self) -> None:
        assert unit_price(days(0, 0), days(0, 0)) is None


class TestPercentile:
    def test_is_the_value_that_so_many_do_not_exceed(self) -> None:
        # Of 20 values the 19th: 95 % of them are at most that.
        assert percentile([D(value) for value in range(1, 21)], 95) == D(19)
        assert percentile([D(7)], 95) == D(7)
        assert percentile([], 95) == D(0)
