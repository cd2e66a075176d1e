from datetime import timedelta
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from metering.attribution import Dimensions
from metering.corrections import Change, Made
from metering.rating import Quantities
from quotas import admission, corrections
from quotas.models import LimitCounter, OverrunEntry
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.corrected_world import find
from tests.quotas.test_admission import counter, limit


def report(who: Dimensions, event_id: str = "e1", **fields: Any) -> None:
    """Report one call with 480 input tokens."""
    admission.report([make_usage(who, event_id, **fields)], at=NOW)


def amend(person: User, event_id: str = "e1", *, key: str = "", at: Any = NOW, **quantities: int) -> Made:
    return corrections.amend(
        find(person, event_id),
        change=Change(quantities),
        reason="Wrong.",
        by=actor_for(person),
        at=at,
        idempotency_key=key,
    )


def void(person: User, event_id: str = "e1") -> Made:
    return corrections.void(find(person, event_id), reason="Wrong.", by=actor_for(person), at=NOW)


class TestAmend:
    def test_takes_more_of_the_limits_of_its_chain(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=1_000)
        report(who)

        amend(cast.creator, input_tokens=700)

        assert counter(tokens) == (700, 0, 0)

    def test_books_what_does_not_fit_as_overrun(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=600)
        report(who)

        amend(cast.creator, input_tokens=700)

        assert counter(tokens) == (600, 0, 100)
        entry = OverrunEntry.objects.get()
        assert (entry.limit_id, entry.amount, entry.cause) == (tokens.pk, 100, "correction")

    def test_gives_room_back(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=1_000)
        report(who)

        amend(cast.creator, input_tokens=80)

        assert counter(tokens) == (80, 0, 0)

    def test_gives_back_what_came_over_the_limit_first(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=300)
        report(who)
        assert counter(tokens) == (300, 0, 180)

        amend(cast.creator, input_tokens=250)

        assert counter(tokens) == (250, 0, 0)

    def test_never_leaves_less_than_nothing_spent(self, cast: Cast, who: Dimensions) -> None:
        report(who)
        tokens = limit(who, measure="tokens", window="month", limit_value=1_000)

        amend(cast.creator, input_tokens=80)

        assert counter(tokens) == (0, 0, 0)

    def test_counts_cost_in_money(self, cast: Cast, who: Dimensions) -> None:
        cost = limit(who, measure="cost", window="month", limit_value=1, currency="USD")
        report(who)

        amend(cast.creator, input_tokens=1_000_000)

        assert counter(cost) == (Decimal("0.2"), 0, 0)

    def test_leaves_windows_that_have_ended_alone(self, cast: Cast, who: Dimensions) -> None:
        daily = limit(who, measure="tokens", window="day", limit_value=1_000)
        report(who)

        amend(cast.creator, input_tokens=80, at=NOW + timedelta(days=1))

        assert counter(daily) == (480, 0, 0)

    def test_counts_once_when_it_is_repeated(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=1_000)
        report(who)

        made = [amend(cast.creator, input_tokens=700, key="k") for _ in range(2)]

        assert [one.is_new for one in made] == [True, False]
        assert counter(tokens) == (700, 0, 0)

    def test_touches_no_counter_of_what_it_does_not_change(self, cast: Cast, who: Dimensions) -> None:
        limit(who, measure="concurrency", window="minute", limit_value=5)
        report(who)
        LimitCounter.objects.all().delete()

        amend(cast.creator, input_tokens=700)

        assert not LimitCounter.objects.exists()


class TestVoid:
    def test_gives_everything_back(self, cast: Cast, who: Dimensions) -> None:
        requests = limit(who, measure="requests", window="day", limit_value=2)
        for event_id in ("e1", "e2", "e3"):
            report(who, event_id)
        assert counter(requests) == (2, 0, 1)

        for event_id in ("e1", "e2", "e3"):
            void(cast.creator, event_id)

        assert counter(requests) == (0, 0, 0)

    def test_keeps_what_is_held(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=1_000)
        report(who, quantities=Quantities(input_tokens=400))
        LimitCounter.objects.filter(limit=tokens).update(held=600)

        void(cast.creator)

        assert counter(tokens) == (0, 600, 0)
