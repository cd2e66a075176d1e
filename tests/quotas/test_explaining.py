from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from marketplace.core.errors import InvalidInput
from quotas import explaining
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner, owner_of
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.usage_world import World

MONTH = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def subscription(world: World) -> Owner:
    Limit.objects.update(ends_at=LONG_AGO)
    return owner_of("subscription", world.subscription)


def make_limit(value: str, *, spent: str = "0", held: str = "0", **fields: Any) -> Limit:
    values: dict[str, Any] = {"measure": "requests", "window": "month", "starts_at": LONG_AGO}
    limit = Limit.objects.create(limit_value=Decimal(value), **values | fields)
    LimitCounter.objects.create(
        limit=limit,
        window_starts_at=MONTH if limit.measure != "concurrency" else "2000-01-01T00:00Z",
        window_ends_at=datetime(2026, 12, 1, tzinfo=UTC)
        if limit.measure != "concurrency"
        else "9999-01-01T00:00Z",
        is_hard=limit.mode == "hard",
        ceiling=Decimal(value),
        spent=Decimal(spent),
        held=Decimal(held),
    )
    return limit


class TestExplain:
    def test_lists_the_chain_in_order_with_owners_that_have_no_limit(
        self, cast: Cast, subscription: Owner
    ) -> None:
        make_limit("10", team=cast.consumer_team)

        found = explaining.explain(subscription, at=NOW)

        assert [link.owner.kind for link in found.links] == [
            "organization",
            "cost_center",
            "team",
            "app",
            "subscription",
        ]
        assert [len(link.limits) for link in found.links] == [0, 0, 1, 0, 0]

    def test_says_what_binds_and_what_would_next(self, cast: Cast, subscription: Owner) -> None:
        make_limit("100", spent="70", held="10", team=cast.consumer_team)
        budget = make_limit("50", spent="42.5", measure="cost", currency="USD", cost_center=cast.cost_center)
        make_limit("5", spent="9", measure="tokens", mode="soft", team=cast.consumer_team)

        found = explaining.explain(subscription, at=NOW)

        assert found.binds is not None
        assert (found.binds.limit, found.is_refusing) == (budget, False)
        assert found.next is not None
        assert found.next.percent == 80
        label = budget.cost_center
        assert found.sentence == (
            f"Calls are admitted: nearest to its end is cost a month of cost center {label} with $42.50 of $50.00 "
            "used or held (85 %), which resets in 15 days; next is calls a month of team Operations with 80 % taken."
        )

    def test_names_the_refusal_that_lasts(self, cast: Cast, subscription: Owner) -> None:
        make_limit("1", held="1", measure="concurrency", window="minute", team=cast.consumer_team)
        make_limit("3", spent="3", organization=cast.company)

        found = explaining.explain(subscription, at=NOW)

        assert found.is_refusing
        assert found.sentence == (
            "Calls are refused: calls a month of organization Demo Company has no room, 3 of 3 is used or held, which "
            "resets in 15 days; next is calls at a time of team Operations with 100 % taken."
        )

    def test_marks_the_tightest_of_each_kind(self, cast: Cast, subscription: Owner, world: World) -> None:
        make_limit("100", organization=cast.company)
        tighter = make_limit("20", team=cast.consumer_team)

        found = explaining.explain(subscription, at=NOW)

        assert {pk for link in found.links for pk in link.binding} == {tighter.pk}

    def test_leaves_out_other_classes_of_models(self, cast: Cast, subscription: Owner) -> None:
        make_limit("100", spent="99", model_class="large", team=cast.consumer_team)
        every = make_limit("100", team=cast.consumer_team, window="day", measure="tokens")

        found = explaining.explain(subscription, model_class="small", at=NOW)

        assert found.binds is not None
        assert found.binds.limit == every
        assert explaining.explain(subscription, at=NOW).binds != found.binds

    def test_counts_the_sandbox_apart(self, cast: Cast, subscription: Owner) -> None:
        make_limit("100", team=cast.consumer_team)

        found = explaining.explain(subscription, environment="sandbox", at=NOW)

        assert found.binds is None
        assert found.sentence == "No limit refuses a call here; those there are only count."

    def test_leaves_out_what_is_still_to_begin(self, cast: Cast, subscription: Owner) -> None:
        make_limit("1", spent="1", team=cast.consumer_team, starts_at=NOW + timedelta(days=1))

        assert explaining.explain(subscription, at=NOW).binds is None


class TestClassOf:
    def test_is_that_of_the_catalogue(self, world: World) -> None:
        assert explaining.class_of("llm-8b") == "small"
        assert explaining.class_of("") == ""

    def test_refuses_unknown_models(self, world: World) -> None:
        with pytest.raises(InvalidInput) as refused:
            explaining.class_of("llm-1t")

        assert refused.value.field == "model"
