from datetime import date, timedelta
from decimal import Decimal

from metering.forecasts import BAND_OF_DAYS
from quotas.budget_outlook import outlook

# Monday, 16 November 2026: with today, fifteen days of the month are left.
TODAY = date(2026, 11, 16)


def same(amount: int, *, days: int) -> dict[date, Decimal]:
    return {TODAY - timedelta(days=number): Decimal(amount) for number in range(1, days + 1)}


class TestOutlook:
    def test_adds_what_is_expected_to_what_is_used(self) -> None:
        found = outlook(same(10, days=28), used=Decimal(400), limit=Decimal(1000), today=TODAY)

        assert found is not None
        # 15 days of 10 on top of 400, whatever the roll-ups of the month say was spent
        assert found.month.middle == 550
        assert (found.runs_out, found.runs_out_early) == (None, None)
        assert BAND_OF_DAYS in found.method

    def test_counts_what_today_has_come_to_once(self) -> None:
        found = outlook(
            same(10, days=28) | {TODAY: Decimal(4)}, used=Decimal(404), limit=Decimal(1000), today=TODAY
        )

        assert found is not None
        assert found.days[0][1].middle == 6
        assert found.month.middle == 550

    def test_says_on_which_day_it_runs_out(self) -> None:
        # 960 are used; the 16th brings 970, the 17th 980, the 18th 990, the 19th 1,000.
        found = outlook(same(10, days=28), used=Decimal(960), limit=Decimal(1000), today=TODAY)

        assert found is not None
        assert found.runs_out == date(2026, 11, 19)

    def test_runs_out_earlier_at_the_upper_end(self) -> None:
        # Every other week ten times as much: of four Mondays 10, 100, 10, 100.
        daily = {
            day: value * (10 if day.isocalendar().week % 2 else 1) for day, value in same(10, days=28).items()
        }
        found = outlook(daily, used=Decimal(0), limit=Decimal(1000), today=TODAY)

        assert found is not None
        # At the median, 55 a day, 15 days come to 825; at 100 a day the 1,000 last ten days.
        assert (found.runs_out, found.runs_out_early) == (None, date(2026, 11, 25))

    def test_has_run_out_today_when_it_is_used_up(self) -> None:
        found = outlook(same(10, days=28), used=Decimal(1000), limit=Decimal(1000), today=TODAY)

        assert found is not None
        assert found.runs_out == TODAY

    def test_says_nothing_with_too_little_history(self) -> None:
        assert outlook(same(10, days=3), used=Decimal(30), limit=Decimal(100), today=TODAY) is None
