from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog import business_days

HOUR = timedelta(hours=1)
# 16 November 2026 is a Monday, the 19th a Thursday, the 21st a Saturday, the 26th Thanksgiving.
THANKSGIVING = date(2026, 11, 26)
FIRST, LAST = date(2026, 1, 1), date(2027, 12, 31)
MOMENTS = st.builds(datetime.combine, st.dates(FIRST, LAST), st.times(), st.just(UTC))
DAYS = st.sets(st.dates(FIRST, LAST), max_size=12)


def november(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


class TestAfter:
    @pytest.mark.parametrize(("day", "due"), [(16, 19), (19, 24), (20, 25), (21, 25), (22, 25)])
    def test_skips_saturday_and_sunday(self, day: int, due: int) -> None:
        assert business_days.after(november(day), 3) == november(due)

    def test_skips_a_holiday(self) -> None:
        assert business_days.after(november(24), 3, {THANKSGIVING}) == november(30)


class TestBetween:
    @pytest.mark.parametrize(
        ("start", "end", "hours"),
        [
            (november(16), november(17), 24),
            # Friday noon to Monday noon: twelve hours of each.
            (november(20), november(23), 24),
            (november(21), november(22), 0),
            # Wednesday noon to Friday noon around Thanksgiving.
            (november(25), november(27), 24),
        ],
    )
    def test_counts_business_days_only(self, start: datetime, end: datetime, hours: int) -> None:
        assert business_days.between(start, end, {THANKSGIVING}) == hours * HOUR

    @given(MOMENTS, st.timedeltas(timedelta(), timedelta(days=20)), DAYS)
    def test_is_what_add_lets_pass(self, start: datetime, amount: timedelta, holidays: set[date]) -> None:
        assert business_days.between(start, business_days.add(start, amount, holidays), holidays) == amount


class TestResumed:
    def test_leaves_as_much_time_as_was_left(self) -> None:
        # Due Thursday noon, asked Tuesday noon: two days were left. Answered Friday noon: Tuesday noon.
        due = business_days.resumed(november(19), paused_at=november(17), at=november(20))

        assert due == november(24)

    def test_does_not_give_time_to_what_was_overdue(self) -> None:
        assert business_days.resumed(november(16), paused_at=november(17), at=november(20)) == november(16)

    @given(MOMENTS, st.timedeltas(timedelta(), timedelta(days=9)), st.timedeltas(timedelta(), timedelta(days=9)), DAYS)  # fmt: skip
    def test_never_moves_a_date_forward(
        self, paused_at: datetime, left: timedelta, stood: timedelta, holidays: set[date]
    ) -> None:
        due_at = business_days.add(paused_at, left, holidays)

        assert (
            business_days.resumed(due_at, paused_at=paused_at, at=paused_at + stood, holidays=holidays)
            >= due_at
        )
