from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from metering.forecasts import BAND_OF_DAYS, BAND_OF_ERRORS, to_month_end, with_band_of_errors

# Monday, 16 November 2026; the month has 30 days.
TODAY = date(2026, 11, 16)
FIRST = date(2026, 10, 17)
LONG_AGO = TODAY - timedelta(days=70)
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


def of_seventy_days(values: list[Decimal]) -> dict[date, Decimal]:
    return {LONG_AGO + timedelta(days=place): value for place, value in enumerate(values)}


class TestWithBandOfErrors:
    def test_has_no_width_where_past_forecasts_were_right(self) -> None:
        # Five on weekdays and one on Saturdays and Sundays, ten weeks long.
        daily = {
            day: Decimal(1 if day.weekday() > 4 else 5)
            for day in (LONG_AGO + timedelta(days=number) for number in range(70))
        }

        forecast = with_band_of_errors(daily, today=TODAY)

        assert forecast is not None
        # 16 to 30 November are eleven weekdays and four days of weekends: 55 + 4 = 59.
        assert [forecast.month.middle - forecast.spent, forecast.month.low, forecast.month.high] == [
            59,
            forecast.month.middle,
            forecast.month.middle,
        ]
        assert BAND_OF_ERRORS in forecast.method

    def test_is_as_wide_as_past_forecasts_were_off(self) -> None:
        # One a day, and two a day for the last three weeks: forecasts of fifteen days made before and in the change
        # were too low by up to half, so the upper end is above the middle, and never was one too high.
        daily = {LONG_AGO + timedelta(days=number): Decimal(1 if number < 49 else 2) for number in range(70)}

        forecast = with_band_of_errors(daily, today=TODAY)

        assert forecast is not None
        middle = forecast.month.middle - forecast.spent
        assert forecast.month.low == forecast.month.middle
        assert forecast.month.high - forecast.spent == 2 * middle

    def test_does_not_follow_one_odd_day_as_the_band_of_days_does(self) -> None:
        daily = {LONG_AGO + timedelta(days=number): Decimal(10) for number in range(70)}
        daily[date(2026, 11, 9)] = Decimal(1000)

        wide, narrow = to_month_end(daily, today=TODAY), with_band_of_errors(daily, today=TODAY)

        assert wide is not None
        assert narrow is not None
        assert narrow.month.high < wide.month.high
        assert narrow.month.middle == wide.month.middle

    def test_stays_that_of_the_days_with_too_little_to_judge_by(self) -> None:
        daily = {TODAY - timedelta(days=number): Decimal(number) for number in range(1, 29)}

        forecast = with_band_of_errors(daily, today=TODAY)

        assert forecast == to_month_end(daily, today=TODAY)
        assert forecast is not None
        assert BAND_OF_DAYS in forecast.method
        assert with_band_of_errors({}, today=TODAY) is None

    @given(st.lists(amounts, min_size=71, max_size=71))
    def test_lies_between_its_bounds_and_above_what_was_spent(self, values: list[Decimal]) -> None:
        daily = of_seventy_days(values)

        forecast = with_band_of_errors(daily, today=TODAY)

        if forecast is not None:
            month = forecast.month
            assert forecast.spent + daily.get(TODAY, Decimal(0)) <= month.low <= month.middle <= month.high
            assert len(forecast.days) == 15
