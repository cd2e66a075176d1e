"""Laws of detection: scale changes nothing, a quiet series is never found, order does not matter, causes add up."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from metering import anomalies
from metering.anomalies import Series, Thresholds
from metering.cause_split import Used, split

AT = datetime(2026, 11, 20, tzinfo=UTC)
HOURS = 9 * 24
HOUSE = Thresholds()
cents = st.integers(0, 10**9).map(lambda number: Decimal(number).scaleb(-2))
# Mostly level, with a last day that may be anything: so that all answers come up.
levels = st.integers(1, 20)
factors = st.lists(st.integers(0, 40), min_size=24, max_size=24)
hours = st.builds(
    lambda base, noise, last: (
        [Decimal(base + each) for each in noise] + [Decimal(base * each) for each in last]
    ),
    levels,
    st.lists(st.integers(0, 10), min_size=HOURS - 24, max_size=HOURS - 24),
    factors,
)


class TestJudge:
    @given(hours, st.integers(2, 1_000))
    def test_does_not_know_the_scale(self, found: list[Decimal], scale: int) -> None:
        scaled = Thresholds(
            money_floor=HOUSE.money_floor * scale,
            new_app_notice=HOUSE.new_app_notice * scale,
            new_app_throttle=HOUSE.new_app_throttle * scale,
        )

        one = anomalies.judge(Series(found), thresholds=HOUSE)
        other = anomalies.judge(Series([amount * scale for amount in found]), thresholds=scaled)

        assert (one and one.level) == (other and other.level)
        assert one is None or other is None or other.actual == one.actual * scale

    @given(st.integers(1, 10**6).flatmap(
        lambda low: st.lists(st.integers(low, 3 * low - 1), min_size=HOURS, max_size=4 * HOURS)
    ))  # fmt: skip
    def test_never_finds_a_series_whose_hours_stay_within_three_times_the_lowest(
        self, found: list[int]
    ) -> None:
        assert anomalies.judge(Series([Decimal(one) for one in found]), thresholds=HOUSE) is None

    @given(hours, st.integers(0, 23), st.integers(1, 10**6))
    def test_answers_no_weaker_when_the_judged_day_brings_more(
        self, found: list[Decimal], index: int, more: int
    ) -> None:
        raised = list(found)
        raised[len(raised) - 1 - index] += more

        one = anomalies.judge(Series(found), thresholds=HOUSE)
        other = anomalies.judge(Series(raised), thresholds=HOUSE)

        assert one is None or (other is not None and other.level >= one.level)


class TestSeriesOf:
    @given(st.lists(st.tuples(st.integers(-5, 60), cents), max_size=40), st.randoms())
    def test_does_not_know_the_order(self, rows: list[tuple[int, Decimal]], random: "st.Random") -> None:  # type: ignore[name-defined]
        amounts = [(AT - timedelta(hours=ago), amount) for ago, amount in rows]
        shuffled = list(amounts)
        random.shuffle(shuffled)

        one = anomalies.series_of(amounts, ends_at=AT, hours=48)
        other = anomalies.series_of(shuffled, ends_at=AT, hours=48)

        assert [one.window(ago, 1) for ago in range(48)] == [other.window(ago, 1) for ago in range(48)]
        assert one.window(0, 48) == sum((amount for ago, amount in rows if 1 <= ago <= 48), Decimal(0))


use = st.builds(
    lambda requests, units, cost: Used(Decimal(requests), Decimal(units), Decimal(cost).scaleb(-18)),
    st.integers(0, 10**9),
    st.integers(0, 10**12),
    st.integers(0, 10**24),
)
uses = st.dictionaries(st.sampled_from(["a", "b", "c"]), use)


class TestSplit:
    @given(uses, uses)
    def test_adds_up_to_the_difference(self, usual: dict[str, Used], now: dict[str, Used]) -> None:
        before = sum((one.cost for one in usual.values()), Decimal(0))
        after = sum((one.cost for one in now.values()), Decimal(0))

        assert split(usual, now).total == after - before

    @given(uses)
    def test_finds_no_cause_where_nothing_changed(self, usual: dict[str, Used]) -> None:
        found = split(usual, usual)

        assert found.volume == 0
        # What a division leaves: less than one attounit a model.
        assert abs(found.mix) == abs(found.price) <= 3 * Decimal(1).scaleb(-18)
