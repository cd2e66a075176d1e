import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import ApiKey
from marketplace.catalog import subscriptions
from marketplace.catalog.models import Subscription
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app, make_plan, make_subscription

BUDGET = 12
KEY = re.compile(r"hp_sub_\w{10}_\w{44}")


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")
    return make_subscription(app, cast.consumer_team)


@pytest.fixture
def consumer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


def key_of(subscription: Subscription, cast: Cast) -> ApiKey:
    return subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW, name="laptop")[0]


class TestSubscriptions:
    def test_lists_active_sandbox_and_ended_ones_apart(
        self, cast: Cast, subscription: Subscription, consumer: Client
    ) -> None:
        sandbox = make_subscription(subscription.app, cast.consumer_team, environment="sandbox")
        ended = make_subscription(subscription.app, cast.consumer_team, state="canceled")

        shown = {
            which: [
                one.pk
                for one in (subscription, sandbox, ended)
                if str(one.pk) in consumer.get(f"/subscriptions/?show={which}").content.decode()
            ]
            for which in ("active", "sandbox", "ended", "nonsense")
        }

        assert shown == {
            "active": [subscription.pk],
            "sandbox": [sandbox.pk],
            "ended": [ended.pk],
            "nonsense": [subscription.pk],
        }

    def test_shows_a_stranger_nothing(self, cast: Cast, subscription: Subscription, client: Client) -> None:
        client.force_login(cast.stranger)

        assert "Where to eat" not in client.get("/subscriptions/").content.decode()

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        subscription: Subscription,
        consumer: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _ in range(10):
            make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)

        with django_assert_max_num_queries(BUDGET):
            assert consumer.get("/subscriptions/").status_code == 200


class TestSubscription:
    def test_shows_terms_and_a_first_call(self, subscription: Subscription, consumer: Client) -> None:
        page = consumer.get(f"/subscriptions/{subscription.pk}/").content.decode()

        assert "Your first call" in page
        assert "/apps/where2eat/run" in page
        assert "$50.00 a month + $0.02 a call + cost of models + 30 %" in page

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        subscription: Subscription,
        consumer: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _ in range(5):
            key_of(subscription, cast)

        with django_assert_max_num_queries(BUDGET):
            assert consumer.get(f"/subscriptions/{subscription.pk}/").status_code == 200

    def test_lets_finance_look_and_not_touch(
        self, cast: Cast, subscription: Subscription, client: Client
    ) -> None:
        client.force_login(cast.finance)

        page = client.get(f"/subscriptions/{subscription.pk}/").content.decode()

        assert "Make key" not in page
        assert client.post(f"/subscriptions/{subscription.pk}/keys/", {"name": "x"}).status_code == 403
        assert (
            client.post(f"/subscriptions/{subscription.pk}/cancel/", {"confirm": "where2eat"}).status_code
            == 403
        )
        assert Subscription.objects.get().state == "active"


class TestKeys:
    def test_are_shown_once(self, subscription: Subscription, consumer: Client) -> None:
        answer = consumer.post(f"/subscriptions/{subscription.pk}/keys/", {"name": "laptop", "days": "90"})

        text = KEY.findall(answer.content.decode())[0]
        assert "no-store" in answer["Cache-Control"]
        later = consumer.get(f"/subscriptions/{subscription.pk}/").content.decode()
        assert "laptop" in later
        assert text not in later

    def test_rotate_with_an_overlap(self, cast: Cast, subscription: Subscription, consumer: Client) -> None:
        old = key_of(subscription, cast)

        answer = consumer.post(f"/subscriptions/{subscription.pk}/keys/{old.pk}/rotate/")

        assert KEY.search(answer.content.decode())
        old.refresh_from_db()
        assert old.expires_at is not None
        assert subscription.key_links.count() == 2

    def test_lead_back_when_their_address_is_opened(
        self, cast: Cast, subscription: Subscription, consumer: Client
    ) -> None:
        old = key_of(subscription, cast)

        for address in ("keys/", f"keys/{old.pk}/rotate/"):
            response = consumer.get(f"/subscriptions/{subscription.pk}/{address}")
            assert response["Location"] == f"/subscriptions/{subscription.pk}/"

    def test_end_when_revoked(self, cast: Cast, subscription: Subscription, consumer: Client) -> None:
        key = key_of(subscription, cast)

        consumer.post(f"/subscriptions/{subscription.pk}/keys/{key.pk}/revoke/")

        key.refresh_from_db()
        assert key.revoked_at is not None

    def test_belong_to_their_own_subscription(
        self, cast: Cast, subscription: Subscription, consumer: Client
    ) -> None:
        other = make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)
        foreign = key_of(other, cast)

        assert consumer.post(f"/subscriptions/{subscription.pk}/keys/{foreign.pk}/revoke/").status_code == 404


class TestChangePlan:
    def test_leads_on_to_what_is_agreed_to(self, subscription: Subscription, consumer: Client) -> None:
        make_plan(subscription.app, code="large", name="Large")

        assert "Large" in consumer.get(f"/subscriptions/{subscription.pk}/plan/").content.decode()
        response = consumer.post(f"/subscriptions/{subscription.pk}/plan/", {"plan": "large"})

        assert response["Location"] == f"/subscriptions/{subscription.pk}/plan/large/"


class TestStranger:
    @pytest.mark.parametrize("page", ["", "plan/", "cancel/", "keys/"])
    def test_finds_no_subscription(
        self, cast: Cast, subscription: Subscription, client: Client, page: str
    ) -> None:
        client.force_login(cast.stranger)
        address = f"/subscriptions/{subscription.pk}/{page}"

        assert client.get(address).status_code == 404
        if page:
            assert client.post(address, {"plan": "standard", "confirm": "where2eat"}).status_code == 404
        assert Subscription.objects.get().state == "active"

    @pytest.mark.parametrize("what", ["rotate", "revoke"])
    def test_finds_no_key(self, cast: Cast, subscription: Subscription, client: Client, what: str) -> None:
        key = key_of(subscription, cast)
        client.force_login(cast.stranger)

        assert client.post(f"/subscriptions/{subscription.pk}/keys/{key.pk}/{what}/").status_code == 404
        key.refresh_from_db()
        assert key.is_valid(NOW)
