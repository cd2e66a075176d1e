from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.dunning_schedule import Step, Taken, after_weekend, ahead, interest_minor

DUE = datetime(2026, 12, 2, 8, tzinfo=UTC)  # a Wednesday
STEPS = [Step(1, 3), Step(2, 10), Step(3, 24, stops_calls=True)]


def days(last: Taken | None = None, rests_until: datetime | None = None, *, spares: bool = True) -> list[str]:
    found = ahead(STEPS, due_at=DUE, last=last, rests_until=rests_until, spares_weekends=spares)
    return [f"{one.at:%m-%d %H}" for one in found]


class TestAhead:
    def test_counts_days_from_the_due_date(self) -> None:
        # Day 24 is Saturday 26 December: calls are stopped on Monday.
        assert days() == ["12-05 08", "12-12 08", "12-28 00"]
        assert days(spares=False) == ["12-05 08", "12-12 08", "12-26 08"]

    def test_leaves_as_long_between_steps_as_the_policy_says(self) -> None:
        # The first went out on day 8, so the second comes seven days after it, and the third fourteen after that.
        assert days(Taken(1, 3, DUE + timedelta(days=8))) == ["12-17 08", "12-31 08"]

    def test_waits_for_the_end_of_a_pause(self) -> None:
        assert days(rests_until=datetime(2026, 12, 20, tzinfo=UTC)) == ["12-20 00", "12-27 00", "01-11 00"]

    def test_has_nothing_left_after_the_last(self) -> None:
        assert days(Taken(3, 24, DUE)) == []

    @given(
        st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True),
        st.integers(0, 200),
        st.integers(0, 100),
    )
    def test_never_goes_back_in_time_nor_skips(self, offsets: list[int], sent: int, rests: int) -> None:
        steps = [Step(place, day) for place, day in enumerate(sorted(offsets), start=1)]
        last = Taken(1, steps[0].days_after_due, DUE + timedelta(days=sent))
        found = ahead(
            steps, due_at=DUE, last=last, rests_until=DUE + timedelta(days=rests), spares_weekends=True
        )

        assert [one.position for one in found] == [step.position for step in steps[1:]]
        times = [last.sent_at, *(one.at for one in found)]
        assert times == sorted(times)


class TestAfterWeekend:
    def test_is_monday(self) -> None:
        saturday = datetime(2026, 12, 5, 23, tzinfo=UTC)
        assert after_weekend(saturday) == datetime(2026, 12, 7, tzinfo=UTC)
        assert after_weekend(saturday + timedelta(days=1)) == datetime(2026, 12, 7, tzinfo=UTC)
        assert after_weekend(DUE) == DUE


class TestInterest:
    def test_is_simple_and_rounded_once(self) -> None:
        # 1,000.00 x 8 % x 30 / 365 = 6.5753
        until = DUE + timedelta(days=30)
        assert interest_minor(100_000, percent=Decimal(8), since=DUE, until=until, currency="USD") == 658
        assert interest_minor(100_000, percent=Decimal(8), since=until, until=DUE, currency="USD") == 0
        # JPY 10,000 x 14.6 % x 10 / 365 = 40
        ten = DUE + timedelta(days=10)
        assert interest_minor(10_000, percent=Decimal("14.6"), since=DUE, until=ten, currency="JPY") == 40
