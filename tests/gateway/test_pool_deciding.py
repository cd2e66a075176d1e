from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.pools.deciding import Signals, decide
from marketplace.gateway.pools.planning import plan
from marketplace.gateway.pools.policy import HOUR, WEEK_HOURS, Policy, Profile, Window, learn

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
POLICY = Policy(slots=2, least=1, most=10, full_percent=100, cooldown_s=3600, lead_s=0)


def weekly(*busy: tuple[int, int]) -> Profile:
    """A profile with these calls, in thousandths, at these hours of the week."""
    hours: list[int | None] = [0] * WEEK_HOURS
    for hour, milli in busy:
        hours[hour] = milli
    return Profile(tuple(hours), 4)


class TestDecide:
    def test_keeps_what_the_schedule_says(self) -> None:
        found = decide(POLICY, weekly((10, 7000)), Signals(), at=MONDAY + 10 * HOUR)

        # 7 calls at a time, two a replica.
        assert (found.replicas, found.floor) == (4, 4)
        assert found.reasons == ("the schedule has 4 for Monday 10:00",)

    def test_is_ready_ahead_of_time(self) -> None:
        ahead = Policy(slots=2, least=1, lead_s=300)

        assert (
            decide(
                ahead, weekly((10, 7000)), Signals(), at=MONDAY + 10 * HOUR - timedelta(minutes=4)
            ).replicas
            == 4
        )
        assert (
            decide(
                ahead, weekly((10, 7000)), Signals(), at=MONDAY + 10 * HOUR - timedelta(minutes=6)
            ).replicas
            == 1
        )

    def test_keeps_a_part_at_night_and_on_weekends(self) -> None:
        policy = Policy(slots=1, night_percent=50, weekend_percent=20, lead_s=0)
        profile = Profile((10_000,) * WEEK_HOURS, 4)

        at = {"day": 12, "night": 23, "saturday": 5 * 24 + 12, "saturday night": 5 * 24 + 23}
        found = {
            name: decide(policy, profile, Signals(), at=MONDAY + hour * HOUR).replicas
            for name, hour in at.items()
        }

        assert found == {"day": 10, "night": 5, "saturday": 2, "saturday night": 2}

    def test_raises_the_number_for_calls_and_for_what_waits(self) -> None:
        # 5 calls and 2 that wait, two a replica: 3 + 1.
        assert decide(POLICY, Profile(), Signals(5000, queued=2), at=MONDAY).replicas == 4

    def test_leaves_room_to_spare(self) -> None:
        policy = Policy(slots=2, full_percent=80, lead_s=0)

        # 4 calls fill two replicas; at 80 % they need three.
        assert decide(policy, Profile(), Signals(4000), at=MONDAY).replicas == 3

    def test_says_what_the_bound_leaves_out(self) -> None:
        found = decide(POLICY, Profile(), Signals(40_000), at=MONDAY)

        assert (found.replicas, found.short_by) == (10, 10)
        assert found.reasons[-1] == "at most 10: 10 short"

    def test_puts_a_share_on_spot_and_back(self) -> None:
        policy = Policy(slots=1, least=10, spot_percent=75, least_on_demand=2)

        with_spot = decide(policy, Profile(), Signals(), at=MONDAY)
        without = decide(policy, Profile(), Signals(has_spot=False), at=MONDAY)

        # Of the 8 beyond the two that are never on spot.
        assert (with_spot.on_demand, with_spot.spot) == (4, 6)
        assert (without.on_demand, without.spot) == (10, 0)

    @given(
        st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 300), st.booleans(), st.integers(0, 167),
        st.integers(1, 50), st.integers(0, 20), st.integers(0, 60), st.integers(0, 100),
    )  # fmt: skip
    def test_stays_within_its_bounds_and_never_falls_as_calls_grow(
        self, milli: int, queued: int, recent: int, has_spot: bool, hour: int, slots: int, least: int, more: int,
        spot: int,
    ) -> None:  # fmt: skip
        policy = Policy(slots=slots, least=least, most=least + more, spot_percent=spot)
        at, profile = MONDAY + hour * HOUR, weekly((hour, milli // 2))

        found = decide(policy, profile, Signals(milli, queued, recent, has_spot), at=at)
        busier = decide(policy, profile, Signals(milli * 2, queued, recent, has_spot), at=at)

        assert least <= found.replicas <= busier.replicas <= least + more
        assert found.spot == 0 or has_spot


class TestLearn:
    def test_covers_so_many_of_the_past_weeks(self) -> None:
        past = [
            Window(MONDAY - timedelta(weeks=week) + 9 * HOUR, milli)
            for week, milli in enumerate((1, 2, 3, 40), 1)
        ]

        assert learn(past, quantile_percent=75, zone=UTC).hours[9] == 3
        assert learn(past, quantile_percent=76, zone=UTC).hours[9] == 40

    def test_counts_hours_in_the_time_zone_of_the_pool(self) -> None:
        profile = learn([Window(MONDAY + 8 * HOUR, 5)], quantile_percent=90, zone=ZoneInfo("Europe/Berlin"))

        assert [hour for hour, milli in enumerate(profile.hours) if milli] == [9]


class TestPlan:
    def test_learns_from_the_weeks_before_and_never_from_its_own(self) -> None:
        # Two weeks of 4 calls at nine, and an hour in the second one that never was before.
        windows = [
            Window(MONDAY + hour * HOUR, 4000 if hour % 24 == 9 else 0) for hour in range(2 * WEEK_HOURS)
        ]
        windows[WEEK_HOURS + 20] = Window(windows[WEEK_HOURS + 20].at, 6000)
        policy = Policy(slots=2, least=0, lead_s=0, full_percent=100, cooldown_s=10)

        found = plan(windows, policy, starts_at=MONDAY + WEEK_HOURS * HOUR, step_ms=3_600_000)

        assert (found.flat, found.short, len(found.windows)) == (3, 1, WEEK_HOURS)
        assert [one.at.hour for one in found.windows if one.is_short] == [20]
        assert found.windows[9].ready == 2

    def test_without_bursts_follows_the_schedule_alone(self) -> None:
        windows = [Window(MONDAY + hour * HOUR, 4000) for hour in range(24)]

        assert (
            plan(windows, POLICY, starts_at=MONDAY, step_ms=3_600_000, has_bursts=False).replica_ms
            == 24 * 3_600_000
        )
        # The burst is answered an hour late.
        assert plan(windows, POLICY, starts_at=MONDAY, step_ms=3_600_000).short == 1
