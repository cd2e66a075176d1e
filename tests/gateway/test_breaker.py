"""The breaker of a source: when it opens, how it is tried again, when it closes."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.breaker import (
    ENOUGH_CALLS,
    FAILURES_IN_A_ROW,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    LONGEST_TRIAL_S,
    WINDOW_S,
    Breaker,
)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.fail(at)
    return breaker


class TestClosed:
    def test_lets_every_call_through(self) -> None:
        breaker = Breaker()

        assert all(breaker.begin(0.0) for _ in range(100))

    def test_opens_after_five_failures_in_a_row(self) -> None:
        breaker = Breaker()
        for _ in range(4):
            breaker.fail(0.0)
        assert breaker.state == "closed"

        breaker.fail(0.0)

        assert breaker.state == "open"

    def test_counts_in_a_row_anew_after_a_success(self) -> None:
        breaker = Breaker()
        for _ in range(3):
            for _ in range(4):
                breaker.fail(0.0)
            breaker.succeed(0.0)

        # 12 of 15 failed, which is too few calls to judge by their share.
        assert breaker.state == "closed"

    def test_opens_when_half_of_twenty_calls_failed(self) -> None:
        breaker = Breaker()
        for _ in range(9):
            breaker.succeed(0.0)
            breaker.fail(0.0)
        breaker.succeed(0.0)
        assert breaker.state == "closed"

        breaker.fail(0.0)

        assert breaker.counts(0.0) == (ENOUGH_CALLS, 10)
        assert breaker.state == "open"

    def test_forgets_what_is_older_than_a_minute(self) -> None:
        breaker = Breaker()
        for _ in range(4):
            breaker.fail(0.0)
            breaker.succeed(0.0)
        assert breaker.counts(WINDOW_S - 1) == (8, 4)

        assert breaker.counts(WINDOW_S) == (0, 0)


class TestOneApp:
    """An app whose requests fail everywhere, which is its own fault and may be nobody else's trouble."""

    def test_does_not_take_a_source_from_others(self) -> None:
        breaker = Breaker()
        breaker.succeed(0.0, by=1)
        for _ in range(100):
            breaker.fail(0.0, by=2)

        assert breaker.state == "closed"

    def test_has_it_left_alone_when_nobody_else_calls(self) -> None:
        breaker = Breaker()
        for _ in range(19):
            breaker.fail(0.0, by=2)
        assert breaker.state == "closed"

        breaker.fail(0.0, by=2)

        assert breaker.state == "open"

    def test_is_not_to_blame_when_another_fails_too(self) -> None:
        breaker = Breaker()
        for app in (2, 2, 2, 2, 1):
            breaker.fail(0.0, by=app)

        assert breaker.state == "open"


class TestOpen:
    def test_lets_nothing_through_until_its_pause_is_over(self) -> None:
        breaker = opened()

        assert not breaker.begin(FIRST_PAUSE_S - 0.1)
        assert breaker.wait_s(2.0) == 3.0
        assert breaker.begin(FIRST_PAUSE_S)
        assert breaker.state == "half_open"

    def test_is_closed_by_hand(self) -> None:
        breaker = opened()

        breaker.reset()

        assert breaker.state == "closed" and breaker.begin(0.0)
        assert breaker.counts(0.0) == (0, 0)


class TestHalfOpen:
    def test_is_tried_by_one_call_at_a_time(self) -> None:
        breaker = opened()
        assert breaker.begin(10.0)

        assert not breaker.begin(10.0)
        breaker.succeed(11.0)
        assert breaker.begin(11.0)

    def test_closes_after_two_successes(self) -> None:
        breaker = opened()
        breaker.begin(10.0)
        breaker.succeed(10.0)
        assert breaker.state == "half_open"

        breaker.begin(10.0)
        breaker.succeed(10.0)

        assert breaker.state == "closed"

    def test_opens_for_twice_as_long_after_a_failure_and_not_for_ever(self) -> None:
        breaker, now, pauses = opened(), 0.0, []
        for _ in range(7):
            now += breaker.pause_s
            assert breaker.begin(now)
            breaker.fail(now)
            pauses.append(breaker.pause_s)

        assert pauses == [10, 20, 40, 80, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]

    def test_gives_its_place_back_when_nobody_waited_for_the_answer(self) -> None:
        breaker = opened()
        breaker.begin(10.0)

        breaker.give_up()

        assert breaker.begin(10.0)

    def test_does_not_wait_for_a_trial_that_died(self) -> None:
        breaker = opened()
        breaker.begin(10.0)

        assert not breaker.is_ready(10.0 + LONGEST_TRIAL_S - 1)
        assert breaker.begin(10.0 + LONGEST_TRIAL_S)


class TestAlways:
    @given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["succeed", "fail", "begin", "give_up"]))))
    def test_can_be_called_again_within_the_longest_pause(self, steps: list[tuple[float, str]]) -> None:
        breaker, now = Breaker(), 0.0
        for pause, step in steps:
            now += pause
            getattr(breaker, step)(*([] if step == "give_up" else [now]))
            calls, failed = breaker.counts(now)
            assert 0 <= failed <= calls

        assert breaker.is_ready(now + max(LONGEST_PAUSE_S, LONGEST_TRIAL_S))
