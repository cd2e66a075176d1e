"""When a batch is worked on. Pure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.batches.schedule import LEAST_SPARE, SPARE, Hours, Plan, is_cheap, next_cheap, plan

# A Sunday.
NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NIGHT = Hours(6, 22, 24)


class TestPlan:
    def test_is_now_without_cheap_hours(self) -> None:
        found = plan(at=NOON, due_at=NOON + 24 * HOUR, lines=10, seconds_a_line=1, hours=[])
        assert found == Plan(NOON)

    def test_waits_for_cheap_hours_that_leave_time_enough(self) -> None:
        found = plan(at=NOON, due_at=NOON + 24 * HOUR, lines=10, seconds_a_line=1, hours=[NIGHT])
        assert found == Plan(NOON + 10 * HOUR, "waits for cheap hours")

    @pytest.mark.parametrize(
        ("lines", "is_waited"),
        # From 22:00 it is 14 hours until noon: 50,400 s, for 25,200 lines of a second with as much to spare.
        [(25_200, True), (25_201, False)],
    )
    def test_begins_early_enough_at_the_measured_speed(self, lines: int, *, is_waited: bool) -> None:
        found = plan(at=NOON, due_at=NOON + 24 * HOUR, lines=lines, seconds_a_line=1, hours=[NIGHT])
        assert (found.run_at > NOON) is is_waited

    def test_is_now_in_cheap_hours(self) -> None:
        at = NOON + 11 * HOUR
        assert plan(at=at, due_at=at + HOUR, lines=1, seconds_a_line=1, hours=[NIGHT]) == Plan(at)

    @given(
        hours=st.lists(
            st.builds(Hours, st.integers(0, 6), st.integers(0, 22), st.integers(23, 24)), max_size=4
        ),
        minutes=st.integers(0, 7 * 24 * 60),
        window_h=st.integers(1, 168),
        lines=st.integers(1, 50_000),
    )
    def test_never_waits_past_the_latest_time(
        self, hours: list[Hours], minutes: int, window_h: int, lines: int
    ) -> None:
        at = NOON + timedelta(minutes=minutes)
        due_at = at + window_h * HOUR
        found = plan(at=at, due_at=due_at, lines=lines, seconds_a_line=0.5, hours=hours)
        latest = due_at - max(timedelta(seconds=lines * 0.5 * SPARE), LEAST_SPARE)
        assert found.run_at == at or (at < found.run_at <= latest and is_cheap(found.run_at, hours))


class TestNextCheap:
    def test_is_the_next_beginning_in_the_week(self) -> None:
        assert next_cheap(NOON, [Hours(0, 0, 6), NIGHT]) == NOON + 10 * HOUR
        assert next_cheap(NOON + 10 * HOUR, [NIGHT]) == NOON + 10 * HOUR + timedelta(days=7)
