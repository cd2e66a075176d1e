"""Hand-made series: an hour is worth what its number says, so 24 hours of 1 are 24."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering import anomalies
from metering.anomalies import Calls, Expected, Finding, Level, Series, Thresholds

HOUSE = Thresholds()
AT = datetime(2026, 11, 20, tzinfo=UTC)
DAYS = 9


def series(*days: int | list[int]) -> Series:
    """Make days of 24 equal hours, or of those given."""
    hours = [each for day in days for each in (day if isinstance(day, list) else [day] * 24)]
    return Series([Decimal(hour) for hour in hours])


def steady(last: int | list[int], *, before: int = 1) -> Series:
    return series(*[before] * (DAYS - 1), last)


class TestJudge:
    def test_finds_nothing_in_a_steady_series(self) -> None:
        assert anomalies.judge(steady(1), thresholds=HOUSE) is None

    def test_gives_notice_at_three_times_the_usual(self) -> None:
        # One earlier day of 36: the usual is 24, three times that 72 is exactly twice the highest.
        found = anomalies.judge(series(1, 1, 1, [2, 1] * 12, 1, 1, 1, 1, 3), thresholds=HOUSE)

        assert found == Finding(Level.NOTICE, actual=Decimal(72), expected=Decimal(24), highest=Decimal(36))

    def test_throttles_at_three_times_the_highest(self) -> None:
        found = anomalies.judge(steady(3), thresholds=HOUSE)

        assert found == Finding(Level.THROTTLE, actual=Decimal(72), expected=Decimal(24), highest=Decimal(24))

    def test_never_pauses_by_itself(self) -> None:
        found = anomalies.judge(steady(1_000), thresholds=HOUSE)

        assert found is not None
        assert found.level is Level.THROTTLE

    def test_leaves_out_what_is_below_three_times_the_usual(self) -> None:
        # 71 of 24.
        assert anomalies.judge(steady([3] * 23 + [2]), thresholds=HOUSE) is None

    def test_leaves_out_what_an_earlier_day_nearly_reached(self) -> None:
        # 72 is three times the usual, but not twice the 48 of an earlier day.
        assert anomalies.judge(series(1, 1, 1, 2, 1, 1, 1, 1, [3] * 23 + [2]), thresholds=HOUSE) is None

    @pytest.mark.parametrize(("floor", "is_found"), [(48, True), (49, False)])
    def test_leaves_out_what_is_below_the_money_floor(self, floor: int, is_found: bool) -> None:
        # 72 is 48 above the usual.
        found = anomalies.judge(steady(3), thresholds=Thresholds(money_floor=Decimal(floor)))

        assert (found is not None) is is_found

    def test_leaves_out_what_is_over(self) -> None:
        # 100 in one hour, and then three hours of nothing.
        assert anomalies.judge(steady([1] * 20 + [100, 0, 0, 0]), thresholds=HOUSE) is None
        assert anomalies.judge(steady([1] * 20 + [100, 1, 1, 1]), thresholds=HOUSE) is None
        assert anomalies.judge(steady([1] * 20 + [100, 1, 1, 2]), thresholds=HOUSE) is not None

    def test_leaves_out_what_comes_every_week(self) -> None:
        weeks = [1, 1, 1, 1, 1, 1, 10] * 4
        once = [1] * 27 + [10]

        assert anomalies.judge(series(1, *weeks), thresholds=HOUSE) is None
        assert anomalies.judge(series(*once), thresholds=HOUSE) is not None

    def test_judges_new_apps_by_absolute_caps(self) -> None:
        # Seven days old on the last of them; 25 and 100 are the caps.
        def judged(last: int) -> Level | None:
            found = anomalies.judge(series(0, 0, 1, 1, 1, 1, 1, 1, last), thresholds=HOUSE)
            return found.level if found else None

        assert judged(1) is None
        assert judged(2) is Level.NOTICE
        assert judged(5) is Level.THROTTLE

    def test_takes_what_has_rested_for_new(self) -> None:
        found = anomalies.judge(series(0, 0, 0, 0, 0, 0, 0, 0, 2), thresholds=HOUSE)

        assert found is not None
        assert found.is_new

    def test_finds_nothing_without_usage(self) -> None:
        assert anomalies.judge(series(*[0] * DAYS), thresholds=HOUSE) is None
        assert anomalies.judge(Series([]), thresholds=HOUSE) is None


class TestGoesOn:
    def test_looks_at_the_last_hours_alone(self) -> None:
        finding = Finding(Level.THROTTLE, Decimal(100), Decimal(24), highest=Decimal(24))
        slowed = steady([10] * 12 + [1] * 12)
        unmoved = steady([10] * 12 + [3] * 12)

        assert not anomalies.goes_on(slowed, finding, hours=12, thresholds=HOUSE)
        assert anomalies.goes_on(unmoved, finding, hours=12, thresholds=HOUSE)
        assert not anomalies.goes_on(unmoved, finding, hours=0, thresholds=HOUSE)


class TestJudgeRequests:
    def test_gives_notice_of_a_flood(self) -> None:
        # 24 x 3,000 = 72,000: three times the highest, and 48,000 above it.
        found = anomalies.judge_requests(steady(3_000, before=1_000), thresholds=HOUSE)

        assert found is not None
        assert (found.level, found.actual) == (Level.NOTICE, Decimal(72_000))

    def test_gives_notice_of_silence(self) -> None:
        found = anomalies.judge_requests(steady(0, before=100), thresholds=HOUSE)

        assert found is not None
        assert (found.actual, found.highest) == (Decimal(0), Decimal(2_400))

    def test_knows_silence_only_of_those_who_never_rest(self) -> None:
        assert anomalies.judge_requests(steady(0, before=10), thresholds=HOUSE) is None
        assert (
            anomalies.judge_requests(series(100, 100, 0, 100, 100, 100, 100, 100, 0), thresholds=HOUSE)
            is None
        )

    def test_does_not_judge_new_apps(self) -> None:
        assert anomalies.judge_requests(series(0, 0, 1_000, 9_000), thresholds=HOUSE) is None


class TestJudgeErrors:
    @pytest.mark.parametrize(
        ("now", "before", "is_found"),
        [
            ((30, 100), (1, 1_000), True),
            ((29, 100), (1, 1_000), False),  # below 30 %
            ((15, 49), (0, 1_000), False),  # too few calls to tell
            ((30, 100), (100, 1_000), True),  # three times the 10 % before
            ((30, 100), (101, 1_000), False),  # it always fails
            ((30, 100), (0, 0), True),
        ],
    )
    def test_finds_calls_that_fail_unusually_often(
        self, now: tuple[int, int], before: tuple[int, int], is_found: bool
    ) -> None:
        assert anomalies.judge_errors(Calls(*now), Calls(*before), thresholds=HOUSE) is is_found


class TestBurn:
    def test_projects_the_pace_of_a_week(self) -> None:
        # Ten days are left: 100 spent, 70 in the last week, so 100 more; without 20 above the usual and what it
        # would go on to add, 20 / 7 x 10.
        found = anomalies.burn(
            budget=Decimal(180),
            spent=Decimal(100),
            last_week=Decimal(70),
            excess=Decimal(21),
            at=AT,
            ends_at=AT + timedelta(days=10),
        )

        assert (found.projected, found.without) == (Decimal(200), Decimal(149))
        assert found.is_evidence

    @pytest.mark.parametrize("budget", [148, 200])
    def test_is_no_evidence_when_it_lasts_or_would_not_anyway(self, budget: int) -> None:
        found = anomalies.burn(
            budget=Decimal(budget),
            spent=Decimal(100),
            last_week=Decimal(70),
            excess=Decimal(21),
            at=AT,
            ends_at=AT + timedelta(days=10),
        )

        assert not found.is_evidence


class TestExpectedHours:
    def test_compares_with_the_same_hour_of_the_week(self) -> None:
        found = anomalies.expected_hours(series(*[1, 1, 1, 1, 1, 1, 5] * 4), count=24)

        assert found[0] == Expected(Decimal(5), Decimal(5), Decimal(5))

    def test_compares_with_the_same_hour_of_the_day_while_it_knows_no_better(self) -> None:
        found = anomalies.expected_hours(series(1, 2, 3, 4, 5, 6, 7, 50), count=1)

        assert found == [Expected(Decimal(1), Decimal(4), Decimal(7))]


class TestSeriesOf:
    def test_lays_out_by_the_hour_with_zeros_between(self) -> None:
        made = anomalies.series_of(
            [(AT - timedelta(hours=1), Decimal(2)), (AT - timedelta(hours=3), Decimal(1)), (AT, Decimal(9))],
            ends_at=AT,
            hours=3,
        )

        assert [made.window(ago, 1) for ago in range(3)] == [Decimal(2), Decimal(0), Decimal(1)]
        assert made.window(0, 4) is None


class TestReducedRate:
    def test_lets_pass_what_the_highest_day_cost(self) -> None:
        # 28,800 requests cost 72; the highest day cost 24: a third of them, 9,600 a day, 6.67 a minute.
        finding = Finding(Level.THROTTLE, Decimal(72), Decimal(24), Decimal(24))

        assert anomalies.reduced_rate(requests=28_800, finding=finding, thresholds=HOUSE) == 6

    def test_is_one_a_minute_at_least(self) -> None:
        finding = Finding(Level.THROTTLE, Decimal(72), Decimal(0), Decimal(0))

        assert anomalies.reduced_rate(requests=10, finding=finding, thresholds=HOUSE) == 1


class TestJudgeStill:
    BEFORE = Finding(Level.NOTICE, Decimal(83), Decimal(24), highest=Decimal(24))

    def test_compares_with_what_was_usual_before(self) -> None:
        # Three days of 3 an hour: by itself nothing is unusual about the last one any more.
        lasting = series(1, 1, 1, 1, 1, 1, 3, 3, 3)

        assert anomalies.judge(lasting, thresholds=HOUSE) is None
        assert anomalies.judge_still(lasting, self.BEFORE, thresholds=HOUSE) == Finding(
            Level.THROTTLE, Decimal(72), Decimal(24), Decimal(24)
        )

    def test_finds_nothing_once_it_is_over(self) -> None:
        assert anomalies.judge_still(steady([9] * 20 + [0] * 4), self.BEFORE, thresholds=HOUSE) is None
        assert anomalies.judge_still(steady(1), self.BEFORE, thresholds=HOUSE) is None

    def test_judges_new_apps_by_their_caps(self) -> None:
        new = Finding(Level.NOTICE, Decimal(30), Decimal(0), Decimal(0), is_new=True)

        assert anomalies.judge_still(series(0, 1), new, thresholds=HOUSE) is None
        assert anomalies.judge_still(series(0, 2), new, thresholds=HOUSE) is not None
