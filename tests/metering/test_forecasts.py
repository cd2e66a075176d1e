from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from metering.forecasts import to_month_end

# Monday, 16 November 2026; the month has 30 days.
TODAY = date(2026, 11, 16)
FIRST = date(2026, 10, 17)
amounts = st.integers(0, 10**6).map(lambda cents: Decimal(cents) / 100)
days = st.lists(amounts, min_size=31, max_size=31).map(
    lambda values: {FIRST + timedelta(days=place): value for place, value in enumerate(values)}
)


class TestToMonthEnd:
    def test_adds_the_median_of_each_weekday_to_what_was_spent(self) -> None:
        # One on each day of four weeks, and a Monday that cost 100: the median does not move.
        daily = {TODAY - timedelta(days=number): Decimal(1) for number in range(1, 29)}
        daily[date(2026, 11, 9)] = Decimal(100)

        forecast = to_month_end(daily, today=TODAY)

        assert forecast is not None
        # fifteen days before today, one of them 100, and fifteen to come
        assert forecast.spent == 14 + 100
        assert forecast.month.middle == 114 + 15
        # three Mondays are left: the 16th, 23rd and 30th
        assert forecast.month.high == 114 + 12 + 300
        assert forecast.month.low == 114 + 15

    def test_says_nothing_before_there_is_a_week(self) -> None:
        daily = {TODAY - timedelta(days=number): Decimal(1) for number in range(7)}

        assert to_month_end(daily, today=TODAY) is None
        assert to_month_end({}, today=TODAY) is None

    def test_does_not_count_days_before_the_first_usage(self) -> None:
        daily = {TODAY - timedelta(days=number): Decimal(2) for number in range(1, 8)}

        forecast = to_month_end(daily, today=TODAY)

        assert forecast is not None
        assert forecast.month.low == forecast.month.middle == forecast.month.high == 14 + 30

    @given(days)
    def test_lies_between_its_bounds_and_above_what_was_spent(self, daily: dict[date, Decimal]) -> None:
        forecast = to_month_end(daily, today=TODAY)

        if forecast is not None:
            month = forecast.month
            assert forecast.spent + daily.get(TODAY, Decimal(0)) <= month.low <= month.middle <= month.high
            assert len(forecast.days) == 15

    @given(days, st.integers(2, 9))
    def test_grows_with_what_is_spent(self, daily: dict[date, Decimal], times: int) -> None:
        once, more = (
            to_month_end(daily, today=TODAY),
            to_month_end({day: times * value for day, value in daily.items()}, today=TODAY),
        )

        if once is not None and more is not None:
            assert more.month.middle == times * once.month.middle

    @given(amounts.filter(bool), st.integers(0, 27))
    def test_of_the_same_every_day_is_that_times_the_days_of_the_month(
        self, daily: Decimal, past: int
    ) -> None:
        today = date(2026, 2, 1) + timedelta(days=past)

        forecast = to_month_end({today - timedelta(days=number): daily for number in range(40)}, today=today)

        assert forecast is not None
        assert forecast.month.low == forecast.month.middle == forecast.month.high == 28 * daily
