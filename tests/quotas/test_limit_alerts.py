from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.models import Notice
from quotas import budgets
from quotas.budget_models import LimitAlert, LimitWatch
from quotas.limit_alerts import passed_percents, tell
from quotas.limit_watches import unwatch, watch
from quotas.models import Limit, LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.budget_world import (
    MONTH,
    NEXT_MONTH,
    BudgetWorld,
    limit_of,
    make_budget_world,
    set_budget,
    spend,
)


@pytest.fixture
def there(cast: Cast) -> BudgetWorld:
    return make_budget_world(cast)


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    """One with 1,000 calls a day and 20,000 a month."""
    return factories.make_subscription(
        factories.make_listed_app(cast.creator_team, name="Where to eat"), cast.consumer_team
    )


def told(person: User) -> list[str]:
    notices = Notice.objects.filter(recipient=person, idempotency_key__startswith="limit-alert:")
    return list(notices.order_by("created_at", "pk").values_list("text", flat=True))


def percents(limit: Limit) -> list[int]:
    return list(LimitAlert.objects.filter(limit=limit).order_by("percent").values_list("percent", flat=True))


def use(subscription: Subscription, window: str, spent: int, *, day: int = 15) -> Limit:
    """Say how many calls of a day or month a subscription has made."""
    limit = Limit.objects.get(subscription=subscription, window=window)
    starts_at = NOW.replace(day=day, hour=0) if window == "day" else MONTH
    ends_at = starts_at + timedelta(days=1) if window == "day" else NEXT_MONTH
    LimitCounter.objects.update_or_create(
        limit=limit,
        window_starts_at=starts_at,
        defaults={"window_ends_at": ends_at, "is_hard": True, "ceiling": limit.limit_value, "spent": spent},
    )
    return limit


class TestPassedPercents:
    def test_are_exact(self) -> None:
        assert passed_percents(Decimal("499.999999"), Decimal(1000), [50, 80]) == ()
        assert passed_percents(Decimal(500), Decimal(1000), [80, 50]) == (50,)
        assert passed_percents(Decimal(2000), Decimal(1000), [100, 50]) == (50, 100)

    def test_are_none_where_nothing_is_used(self) -> None:
        assert passed_percents(Decimal(0), Decimal(0), [50, 100]) == ()
        assert passed_percents(Decimal(1), Decimal(0), [50, 100]) == (50, 100)


class TestTell:
    def test_tells_each_threshold_once(self, cast: Cast, there: BudgetWorld) -> None:
        for spent in ("490", "500", "510", "799.99", "800", "960", "1000", "1000"):
            spend(there.marketing_budget, spent)
            tell(at=NOW)
            tell(at=NOW + timedelta(minutes=1))

        assert percents(limit_of(there.marketing_budget)) == [50, 80, 95, 100]
        assert [text.split("Past ")[1][:5] for text in told(there.giver)] == [
            "50 %.",
            "80 %.",
            "95 %.",
            "100 %",
        ]
        assert len(told(cast.finance)) == 4
        assert told(there.taker) == told(cast.consumer) == told(cast.stranger) == []

    def test_tells_of_all_that_a_jump_passes_in_one_notice(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "960")

        assert tell(at=NOW) == 3
        assert told(there.giver) == [
            "The budget of CC-700 Marketing: 96 % used in November 2026, $960.00 of $1,000.00. "
            "Past 50, 80 and 95 %."
        ]
        assert Notice.objects.get(recipient=there.giver).path == f"/budgets/{there.marketing_budget.pk}/"

    def test_says_that_calls_are_refused(self, cast: Cast, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "1000", overrun="20")
        set_budget(there.sales, "400", by=actor_for(cast.finance), mode="soft")
        spend(there.sales_budget, "420")
        tell(at=NOW)

        assert "102 % used" in told(there.giver)[0]
        assert told(there.giver)[0].endswith("Calls are refused.")
        assert not told(there.taker)[0].endswith("Calls are refused.")

    def test_does_not_count_what_calls_under_way_hold(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "400", held="500")

        assert tell(at=NOW) == 0

    def test_goes_by_the_thresholds_of_the_budget(self, there: BudgetWorld) -> None:
        budgets.set_thresholds(
            there.marketing_budget, thresholds=[10, 100], by=actor_for(there.giver), at=NOW
        )
        spend(there.marketing_budget, "960")
        tell(at=NOW)

        assert percents(limit_of(there.marketing_budget)) == [10]

    def test_does_not_tell_again_when_the_budget_is_raised(self, cast: Cast, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "960")
        tell(at=NOW)
        set_budget(there.marketing, "2000", by=actor_for(cast.finance))
        spend(there.marketing_budget, "1100")

        assert tell(at=NOW) == 0
        spend(there.marketing_budget, "2000")
        assert tell(at=NOW) == 1
        assert percents(limit_of(there.marketing_budget)) == [50, 80, 95, 100]

    def test_tells_of_the_last_minute_of_a_month_after_it(self, there: BudgetWorld) -> None:
        spend(there.marketing_budget, "960")

        assert tell(at=NEXT_MONTH + timedelta(minutes=1)) == 3
        assert "in November 2026" in told(there.giver)[0]

    def test_goes_by_what_the_budget_of_a_month_that_is_over_was(
        self, cast: Cast, there: BudgetWorld
    ) -> None:
        spend(there.marketing_budget, "490")
        on_the_first = NEXT_MONTH + timedelta(minutes=5)
        set_budget(there.marketing, "490", by=actor_for(cast.finance), at=on_the_first)

        assert tell(at=on_the_first) == 0

    def test_writes_nothing_that_it_told_of(
        self, there: BudgetWorld, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        spend(there.marketing_budget, "960")
        tell(at=NOW)

        with django_assert_max_num_queries(8) as asked:
            tell(at=NOW)

        assert [one["sql"] for one in asked if one["sql"].startswith(("INSERT", "UPDATE"))] == []

    def test_begins_anew_with_the_month(self, there: BudgetWorld) -> None:
        limit = limit_of(there.marketing_budget)
        spend(there.marketing_budget, "960")
        tell(at=NOW)
        LimitCounter.objects.create(
            limit=limit, window_starts_at=NEXT_MONTH, window_ends_at="2027-01-01T00:00Z", is_hard=True,
            ceiling=1000, spent=510,
        )  # fmt: skip

        assert tell(at=NEXT_MONTH + timedelta(days=2)) == 1
        assert "51 % used in December 2026" in told(there.giver)[1]

    def test_was_told_once_says_the_database(self, there: BudgetWorld) -> None:
        row: dict[str, Any] = {
            "limit": limit_of(there.marketing_budget), "window_starts_at": MONTH, "percent": 50, "used": 1,
            "limit_value": 2, "told_at": NOW,
        }  # fmt: skip
        LimitAlert.objects.create(**row)

        with pytest.raises(IntegrityError, match="limit_alert_told_once"), transaction.atomic():
            LimitAlert.objects.create(**row)


class TestSubscriptions:
    def test_are_told_of_at_80_and_95_percent(self, cast: Cast, subscription: Subscription) -> None:
        daily = use(subscription, "day", 799)
        tell(at=NOW)
        assert told(cast.consumer) == []

        use(subscription, "day", 950)
        tell(at=NOW)
        assert told(cast.consumer) == [
            "Where to eat for Operations: 95 % of calls a day used on 15 November, 950 of 1,000. Past 80 and 95 %."
        ]
        assert Notice.objects.get(recipient=cast.consumer).path == f"/limits/subscription/{subscription.pk}/"
        assert percents(daily) == [80, 95]
        assert told(cast.finance) == told(cast.stranger) == []

    def test_are_told_of_each_day_anew(self, cast: Cast, subscription: Subscription) -> None:
        use(subscription, "day", 900)
        tell(at=NOW)
        use(subscription, "day", 900, day=16)
        tell(at=NOW + timedelta(days=1))

        assert len(told(cast.consumer)) == 2

    def test_that_are_canceled_are_not(self, cast: Cast, subscription: Subscription) -> None:
        use(subscription, "month", 20_000)
        Subscription.objects.filter(pk=subscription.pk).update(state="canceled")

        assert tell(at=NOW) == 0


class TestWatch:
    def test_tells_who_asked_at_their_percent(
        self, cast: Cast, there: BudgetWorld, subscription: Subscription
    ) -> None:
        consumer = actor_for(cast.consumer)
        watch(budget=there.team_budget, percent=30, by=consumer, at=NOW)
        watch(subscription=subscription, percent=10, by=consumer, at=NOW)
        spend(there.team_budget, "70")
        use(subscription, "month", 2_000)
        tell(at=NOW)

        assert sorted(text.split(":")[0] for text in told(cast.consumer)) == [
            "The budget of Operations", "Where to eat for Operations",
        ]  # fmt: skip
        assert told(cast.finance) == []

    def test_is_one_however_often_it_is_asked_for(self, cast: Cast, there: BudgetWorld) -> None:
        consumer = actor_for(cast.consumer)

        first = watch(budget=there.team_budget, percent=30, by=consumer, at=NOW)
        assert watch(budget=there.team_budget, percent=30, by=consumer, at=NOW) == first
        unwatch(first.pk, by=consumer)
        assert not LimitWatch.objects.exists()

    def test_is_of_what_one_may_see(self, cast: Cast, there: BudgetWorld, subscription: Subscription) -> None:
        stranger = actor_for(cast.stranger)
        mine = watch(budget=there.team_budget, percent=30, by=actor_for(cast.consumer), at=NOW)

        with pytest.raises(NotFound):
            watch(budget=there.team_budget, percent=30, by=stranger, at=NOW)
        with pytest.raises(NotFound):
            watch(subscription=subscription, percent=30, by=stranger, at=NOW)
        with pytest.raises(NotFound):
            unwatch(mine.pk, by=stranger)

    def test_tells_nobody_who_may_not_see_it_any_more(self, cast: Cast, there: BudgetWorld) -> None:
        watch(budget=there.team_budget, percent=30, by=actor_for(cast.consumer), at=NOW)
        cast.consumer.memberships.all().delete()
        spend(there.team_budget, "70")
        tell(at=NOW)

        assert told(cast.consumer) == []

    @pytest.mark.parametrize("percent", [0, 101, -1])
    def test_is_of_a_percentage(self, cast: Cast, there: BudgetWorld, percent: int) -> None:
        with pytest.raises(InvalidInput):
            watch(budget=there.team_budget, percent=percent, by=actor_for(cast.consumer), at=NOW)
        name = "limit_watch_percent" if percent >= 0 else "percent"
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            LimitWatch.objects.create(
                person=cast.consumer, budget=there.team_budget, percent=percent, created_at=NOW
            )

    def test_is_of_one_thing(self, cast: Cast) -> None:
        with pytest.raises(IntegrityError, match="limit_watch_of_one_thing"), transaction.atomic():
            LimitWatch.objects.create(person=cast.consumer, percent=5, created_at=NOW)
