"""Plans compared, and the pages on which a subscription starts, changes and ends."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.plan_comparison import BudgetEffect, compare
from billing.terms import ShareTerms
from marketplace.accounts.access import actor_for
from marketplace.catalog.listing_pages import PlanView
from marketplace.catalog.models import App, Plan, Subscription
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast
from tests.quotas.budget_world import set_budget

pytestmark = pytest.mark.django_db
BUDGET = 12
AGREED = re.compile(r'name="agreed" value="(\w+)"')


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return factories.make_subscription(app, cast.consumer_team)


@pytest.fixture
def consumer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


def confirm_address(cast: Cast, plan: str = "standard") -> str:
    chosen = f"plan={plan}&team={cast.consumer_team.pk}&cost_center={cast.cost_center.pk}"
    return f"/catalog/where2eat/subscribe/confirm/?{chosen}"


def agreed_on(page: str) -> str:
    [agreed] = AGREED.findall(page)
    return str(agreed)


class TestCompare:
    def test_marks_the_cheapest_that_allows_so_many_calls(self, app: App) -> None:
        small = factories.make_plan(app, code="small", charges=[], monthly_calls_limit=100)
        views = [PlanView.of(app.plans.get(code="standard")), PlanView.of(small)]

        few, many = (
            compare(views, calls=calls, cost_per_call=Decimal(0), share=ShareTerms(Decimal("0.2")))
            for calls in (100, 101)
        )

        assert [one.is_cheapest for one in few] == [False, True]
        assert [one.is_cheapest for one in many] == [True, False]
        assert [one.is_over_limit for one in many] == [False, True]

    def test_shows_plans_side_by_side(self, app: App, consumer: Client) -> None:
        factories.make_plan(app, code="free", name="Starter", charges=[], monthly_calls_limit=9_000)

        page = consumer.get("/catalog/where2eat/plans/?calls=1000").content.decode()

        # Standard: 50 + 1,000 x 0.02 + cost; Starter: nothing.
        assert "$0.00" in page
        assert page.count("cheapest") == 1

    @pytest.mark.parametrize("query", ["calls=x&team=x", "team=99999999999999999999", "calls=-1"])
    def test_takes_any_query(self, app: App, consumer: Client, query: str) -> None:
        assert consumer.get(f"/catalog/where2eat/plans/?{query}").status_code == 200

    def test_keeps_to_its_budget_of_queries(
        self, app: App, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(BUDGET):
            consumer.get("/catalog/where2eat/plans/")


class TestConfirm:
    def test_shows_the_money_and_books_it(self, cast: Cast, app: App, consumer: Client) -> None:
        page = consumer.get(confirm_address(cast)).content.decode()
        data = {"agreed": agreed_on(page), "cap": "75", "cap_mode": "hard"}
        response = consumer.post(confirm_address(cast), data)

        subscription = Subscription.objects.get()
        assert response["Location"] == f"/subscriptions/{subscription.pk}/"
        assert (subscription.team, subscription.created_by) == (cast.consumer_team, cast.consumer)
        assert Limit.objects.get(subscription=subscription, measure="cost").mode == "hard"
        assert "What was agreed" in consumer.get(response["Location"]).content.decode()

    def test_asks_again_when_the_price_changed(self, cast: Cast, app: App, consumer: Client) -> None:
        page = consumer.get(confirm_address(cast)).content.decode()
        Plan.objects.update(is_offered=False)
        factories.make_plan(
            app, code="standard", number=2, charges=[{"code": "fee", "model": "flat", "amount": "99"}]
        )
        data = {"agreed": agreed_on(page), "cap_mode": "hard"}

        again = consumer.post(confirm_address(cast), data).content.decode()

        assert "changed since this page was made" in again
        assert not Subscription.objects.exists()
        consumer.post(confirm_address(cast), data | {"agreed": agreed_on(again)})
        assert Subscription.objects.get().plan.number == 2

    def test_shows_what_it_takes_of_the_budget(self, cast: Cast, app: App, consumer: Client) -> None:
        set_budget(cast.consumer_team, "200", by=actor_for(cast.finance), at=timezone.now())

        page = consumer.get(confirm_address(cast)).content.decode()

        assert "Budget of this month" in page
        assert "$200.00" in page

    def test_knows_when_it_is_more_than_is_left(self) -> None:
        effect = BudgetEffect("Team", Decimal(100), Decimal(70), Decimal(30), "USD", refuses=True)

        assert (effect.left, effect.is_beyond) == (Decimal(30), False)
        assert replace(effect, added=Decimal("30.01")).is_beyond

    def test_leads_back_without_a_choice(self, app: App, consumer: Client) -> None:
        response = consumer.get("/catalog/where2eat/subscribe/confirm/?plan=none")

        assert response["Location"] == "/catalog/where2eat/subscribe/"

    def test_does_not_take_others_teams(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.creator)
        address = confirm_address(cast)

        assert client.post(address, {"agreed": "x", "cap_mode": "hard"}).status_code == 302
        assert not Subscription.objects.exists()

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, app: App, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(BUDGET + 3):  # Three choices are looked up one by one.
            consumer.get(confirm_address(cast))


class TestChange:
    def test_shows_the_money_and_changes(
        self, app: App, subscription: Subscription, consumer: Client
    ) -> None:
        larger = factories.make_plan(app, code="large", name="Large")
        address = f"/subscriptions/{subscription.pk}/plan/large/"

        page = consumer.get(address).content.decode()
        consumer.post(address, {"agreed": "something else"})
        assert Subscription.objects.get().plan != larger
        consumer.post(address, {"agreed": agreed_on(page)})

        assert Subscription.objects.get().plan == larger

    def test_leads_back_from_the_present_plan(self, subscription: Subscription, consumer: Client) -> None:
        response = consumer.get(f"/subscriptions/{subscription.pk}/plan/standard/")

        assert response["Location"] == f"/subscriptions/{subscription.pk}/plan/"


class TestCancel:
    def test_asks_for_the_short_name(self, subscription: Subscription, consumer: Client) -> None:
        address = f"/subscriptions/{subscription.pk}/cancel/"
        agreed = agreed_on(consumer.get(address).content.decode())

        consumer.post(address, {"confirm": "something", "agreed": agreed})
        assert Subscription.objects.get().state == "active"
        consumer.post(address, {"confirm": "where2eat", "agreed": "old"})
        assert Subscription.objects.get().state == "active"
        consumer.post(address, {"confirm": "where2eat", "agreed": agreed})

        assert Subscription.objects.get().state == "canceled"

    def test_says_so_when_it_had_ended(self, subscription: Subscription, consumer: Client) -> None:
        Subscription.objects.update(state="canceled", ends_at=timezone.now())

        answer = consumer.post(f"/subscriptions/{subscription.pk}/cancel/", {"confirm": "where2eat"})

        assert answer.status_code == 409


class TestStranger:
    @pytest.mark.parametrize("page", ["plan/standard/", "cancel/"])
    def test_finds_no_subscription(
        self, cast: Cast, subscription: Subscription, client: Client, page: str
    ) -> None:
        client.force_login(cast.stranger)
        address = f"/subscriptions/{subscription.pk}/{page}"

        assert client.get(address).status_code == 404
        assert client.post(address, {"confirm": "where2eat", "agreed": "x"}).status_code == 404
        assert Subscription.objects.get().state == "active"

    def test_finds_no_app_of_another_organization(self, cast: Cast, app: App, client: Client) -> None:
        App.objects.update(is_public=False)
        client.force_login(cast.stranger)

        assert client.get("/catalog/where2eat/plans/").status_code == 404
        assert client.get(confirm_address(cast)).status_code == 404
