from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.periods import Period, Window, month_of, parse_month, window_bounds

instants = st.datetimes(
    min_value=datetime(2013, 1, 1),  # noqa: DTZ001
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
zones = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ]
)


class TestMonths:
    @given(instants)
    def test_follow_each_other_without_gap(self, at: datetime) -> None:
        month = month_of(at)

        assert month.contains(at)
        assert month.next().starts_at == month.ends_at
        assert month.next().previous() == month
        assert parse_month(month.name) == month

    @given(instants, st.lists(st.floats(0, 1), max_size=5))
    def test_parts_share_them_without_rest(self, at: datetime, places: list[float]) -> None:
        month = month_of(at)
        length = month.ends_at - month.starts_at
        cuts = sorted(
            {month.starts_at, month.ends_at, *(month.starts_at + length * place for place in places)}
        )

        shares = [Period(start, end).share_of(month) for start, end in pairwise(cuts)]

        assert sum(shares) == Fraction(1)


class TestWindows:
    @given(instants, st.sampled_from(get_args(Window)), zones)
    def test_contain_their_instant_and_follow_each_other(
        self, at: datetime, window: Window, zone: str
    ) -> None:
        start, end = window_bounds(at, window, zone)

        assert start <= at < end
        assert window_bounds(end, window, zone)[0] == end
        assert window_bounds(start - timedelta(microseconds=1), window, zone)[1] == start
