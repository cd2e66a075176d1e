"""Which sources a call is planned with, in which order, and what is known of each."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketplace.gateway.breaker import FAILURES_IN_A_ROW, FIRST_PAUSE_S
from marketplace.gateway.providers.base import (
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from marketplace.gateway.router import Need, Offer, Route
from marketplace.gateway.sources import PACE_FOR_S, Resting, Sources
from metering.rating import TokenPrices, to_atto

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
NEED = Need("auto", 1_000, 100)


def offer(provider: str, *, model: str = "m", price: str = "1") -> Offer:
    atto = to_atto(Decimal(price))
    prices = TokenPrices(1, "USD", atto, atto, atto, atto, atto, AT, None)
    return Offer(model, "small", 10_000, provider, model, prices)


A, B, DEAR = offer("a"), offer("b"), offer("dear", price="2")
ROUTE = Route((A, B, DEAR), "cheapest")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sources(clock: Clock) -> Sources:
    return Sources(clock=clock)


def call(sources: Sources, offer: Offer, outcome: int | ProviderError, *, app_id: int = 1) -> None:
    trial = sources.begin(offer, app_id=app_id)
    assert trial is not None
    if isinstance(outcome, ProviderError):
        trial.failed(outcome, ms=5)
    else:
        trial.answered(outcome)


def break_down(sources: Sources, offer: Offer) -> None:
    for app_id in range(FAILURES_IN_A_ROW):
        call(sources, offer, ProviderUnavailable(offer.provider, "failed (500)"), app_id=app_id)


def names(route: Route) -> list[str]:
    return [offer.provider for offer in route.offers]


class TestArrange:
    def test_leaves_a_route_as_it_was_chosen_while_nothing_is_known(self, sources: Sources) -> None:
        assert sources.arrange(ROUTE, NEED) == ROUTE

    def test_leaves_out_what_rests_and_says_so(self, sources: Sources, clock: Clock) -> None:
        break_down(sources, A)

        arranged = sources.arrange(ROUTE, NEED)

        assert names(arranged) == ["b", "dear"]
        assert arranged.reason == "cheapest; a rests"
        clock.now += FIRST_PAUSE_S
        assert "a" in names(sources.arrange(ROUTE, NEED))

    def test_says_when_to_come_back_when_all_rest(self, sources: Sources, clock: Clock) -> None:
        break_down(sources, A)
        clock.now += 2.0

        with pytest.raises(Resting) as resting:
            sources.arrange(Route((A,), "named"), NEED)

        assert (resting.value.status, resting.value.retry_after_s) == (502, 3)
        assert not resting.value.was_maybe_charged

    def test_puts_what_asked_for_a_pause_last_for_so_long(self, sources: Sources, clock: Clock) -> None:
        call(sources, A, ProviderRateLimited("a", "limits our rate", asked_pause_s=7))

        assert names(sources.arrange(ROUTE, NEED)) == ["b", "dear", "a"]
        # On its own it is asked all the same: the provider knows best.
        assert names(sources.arrange(Route((A,), "named"), NEED)) == ["a"]
        clock.now += 7.1
        call(sources, B, 900)
        assert names(sources.arrange(ROUTE, NEED)) == ["a", "b", "dear"]

    def test_puts_the_fastest_of_equals_first_but_never_a_dearer_one(self, sources: Sources) -> None:
        call(sources, A, 400)
        call(sources, B, 100)
        call(sources, DEAR, 1)

        assert names(sources.arrange(ROUTE, NEED)) == ["b", "a", "dear"]

    def test_does_not_change_its_mind_for_a_little(self, sources: Sources) -> None:
        call(sources, A, 105)
        call(sources, B, 100)

        assert names(sources.arrange(ROUTE, NEED)) == ["a", "b", "dear"]

    def test_tries_again_what_was_slow_long_ago(self, sources: Sources, clock: Clock) -> None:
        call(sources, A, 4_000)
        clock.now += PACE_FOR_S - 1
        call(sources, B, 100)
        assert names(sources.arrange(ROUTE, NEED))[0] == "b"

        clock.now += 1

        assert names(sources.arrange(ROUTE, NEED))[0] == "a"


class TestTrial:
    def test_counts_no_failure_when_the_request_was_wrong(self, sources: Sources) -> None:
        for _ in range(20):
            call(sources, A, ProviderRefused("a", "refuses the request (400)", status=400))

        assert names(sources.arrange(ROUTE, NEED))[0] in ("a", "b")
        assert sources.reports(at=AT)[0].failures == 0

    def test_is_given_to_one_at_a_time_after_a_rest(self, sources: Sources, clock: Clock) -> None:
        break_down(sources, A)
        clock.now += FIRST_PAUSE_S

        first = sources.begin(A, app_id=1)

        assert first is not None and sources.begin(A, app_id=2) is None
        assert names(sources.arrange(ROUTE, NEED)) == ["b", "dear"]
        first.answered(10)
        call(sources, A, 10)
        assert sources.reports(at=AT)[0].state == "closed"


class TestReset:
    def test_closes_what_was_open_once_for_each_time_it_is_done(self, sources: Sources) -> None:
        break_down(sources, A)
        break_down(sources, B)

        sources.reset({"a": AT})

        assert names(sources.arrange(ROUTE, NEED)) == ["a", "dear"]
        break_down(sources, A)
        sources.reset({"a": AT})
        assert names(sources.arrange(ROUTE, NEED)) == ["dear"]
        sources.reset({"a": AT + timedelta(hours=1)})
        assert names(sources.arrange(ROUTE, NEED)) == ["a", "dear"]


class TestReports:
    def test_tell_counts_latencies_and_the_last_error(self, sources: Sources, clock: Clock) -> None:
        for ms in (1, 16, 16, 17):
            call(sources, A, ms)
        call(sources, A, ProviderUnavailable("a", "failed (500)"))
        clock.now += 60

        (report,) = sources.reports(at=AT)

        assert (report.provider, report.model, report.state, report.retry_at) == ("a", "m", "closed", None)
        assert (report.calls, report.failures, report.calls_total) == (5, 1, 5)
        assert report.latencies == {0: 1, 16: 3}
        assert report.last_error == "Provider a failed (500)."
        assert report.last_error_at == AT - timedelta(seconds=60)

    def test_forget_counts_after_a_quarter_of_an_hour_but_not_totals(
        self, sources: Sources, clock: Clock
    ) -> None:
        call(sources, A, 10)
        clock.now += 900

        (report,) = sources.reports(at=AT)

        assert (report.calls, report.calls_total, report.latencies) == (0, 1, {})

    def test_say_when_a_source_is_called_again(self, sources: Sources) -> None:
        break_down(sources, A)

        assert sources.reports(at=AT)[0].retry_at == AT + timedelta(seconds=FIRST_PAUSE_S)
