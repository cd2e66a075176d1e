from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from metering import ingest
from quotas.budget_models import LimitWatch
from quotas.models import Limit, LimitCounter
from quotas.my_usage import pages
from quotas.queries import limits_of
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.usage_world import World, used

PATH = "/usage/limits/"


def page(client: Client, person: Any) -> str:
    client.force_login(person)
    answer = client.get(PATH)
    assert answer.status_code == 200
    return answer.content.decode()


def count(limit: Limit, *, spent: int, starts_at: Any, ends_at: Any) -> None:
    LimitCounter.objects.create(
        limit=limit, window_starts_at=starts_at, window_ends_at=ends_at, is_hard=True, ceiling=limit.limit_value,
        spent=spent,
    )  # fmt: skip


@pytest.mark.django_db
class TestMyUsage:
    def test_shows_limits_spend_apps_and_keys_of_ones_teams(
        self, cast: Cast, world: World, client: Client
    ) -> None:
        now = timezone.now()
        ingest.record(
            [used(world.subscription, "now", at=now, input_tokens=10_000_000, key=world.key)], at=now
        )

        shown = page(client, cast.consumer)

        # ten million tokens at 0.20
        assert "$2.00" in shown
        assert "Where to eat for Operations" in shown
        assert "Calls a day" in shown
        assert "laptop" in shown
        assert "Request increase" in shown
        assert f"/limits/subscription/{world.subscription.pk}/" in shown
        assert "resets in " in shown

    def test_shows_nothing_of_others(self, cast: Cast, world: World, client: Client) -> None:
        shown = page(client, cast.stranger)

        assert "for Operations" not in shown
        assert "for strangers" in shown.lower() or "Where to eat for" in shown

    def test_leads_to_the_catalogue_where_nothing_is_limited(self, cast: Cast, client: Client) -> None:
        assert "Find an app" in page(client, cast.finance)

    def test_sets_and_removes_alerts(self, cast: Cast, world: World, client: Client) -> None:
        client.force_login(cast.consumer)
        of = f"subscription:{world.subscription.pk}"

        answer = client.post("/budgets/alerts/", {"of": of, "percent": "70"})

        assert answer.headers["Location"] == PATH
        assert "Where to eat at 70 %" in page(client, cast.consumer)
        client.post(f"/budgets/alerts/{LimitWatch.objects.get().pk}/remove/")
        assert not LimitWatch.objects.exists()
        client.post("/budgets/alerts/", {"of": of, "percent": "700"})
        assert not LimitWatch.objects.exists()

    def test_keeps_to_its_number_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        now = timezone.now()
        ingest.record([used(world.subscription, "now", at=now, input_tokens=10, key=world.key)], at=now)
        client.force_login(cast.consumer)

        with django_assert_max_num_queries(12):
            client.get(PATH)


class TestRunsOut:
    @pytest.fixture
    def daily_limit(self, cast: Cast, world: World) -> Limit:
        Limit.objects.exclude(subscription=world.subscription).update(ends_at=LONG_AGO)
        return Limit.objects.get(subscription=world.subscription, window="day")

    def told(self, limit: Limit, *, at: Any, daily: Any = None) -> str:
        found = {one.limit.pk: one for one in limits_of("subscription", limit.subscription_id, at=at)}
        return pages.runs_out(found[limit.pk], daily or {}, at=at)

    def test_goes_on_as_since_midnight(self, daily_limit: Limit) -> None:
        midnight = NOW.replace(hour=0)
        count(daily_limit, spent=600, starts_at=midnight, ends_at=midnight + timedelta(days=1))

        # 600 of 1,000 in twelve hours: the other 400 last eight hours more.
        assert self.told(daily_limit, at=NOW) == "runs out about 20:00"
        assert self.told(daily_limit, at=NOW + timedelta(hours=3)) == ""

    def test_says_that_it_is_used_up(self, daily_limit: Limit) -> None:
        midnight = NOW.replace(hour=0)
        count(daily_limit, spent=1000, starts_at=midnight, ends_at=midnight + timedelta(days=1))

        assert self.told(daily_limit, at=NOW) == "used up"

    def test_of_a_month_goes_by_its_weekdays(self, daily_limit: Limit) -> None:
        monthly = Limit.objects.get(subscription=daily_limit.subscription_id, window="month")
        first = NOW.replace(day=1, hour=0)
        count(monthly, spent=14_000, starts_at=first, ends_at=NOW.replace(day=1, month=12, hour=0))
        daily = {NOW.date() - timedelta(days=number): Decimal(1000) for number in range(1, 29)}

        # 6,000 are left at 1,000 a day from the 15th on: the last ones go on the 20th.
        assert self.told(monthly, at=NOW, daily=daily) == "runs out about 20 November"


class TestIncreaseUrl:
    def test_leads_to_where_more_is_asked_for(self, cast: Cast, world: World) -> None:
        one = limits_of("subscription", world.subscription.pk, at=NOW)[0]

        url = pages.increase_url(one.owner, one.limit)

        asked = f"{one.limit.measure}/{one.limit.window}"
        assert url == f"/increases/new/subscription/{world.subscription.pk}/{asked}/"
