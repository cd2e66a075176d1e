from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.accounts import keys
from marketplace.catalog import subscriptions
from marketplace.catalog.models import App, Subscription
from tests.catalog.test_listing_api import with_key
from tests.conftest import Cast
from tests.factories import NOW, join, make_listed_app, make_plan, make_subscription, make_team

PATH = "/api/v1/subscriptions"


@pytest.fixture
def app(cast: Cast) -> App:
    return make_listed_app(cast.creator_team, slug="where2eat")


@pytest.fixture
def consumer(cast: Cast) -> APIClient:
    return with_key(cast.consumer)


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return make_subscription(app, cast.consumer_team)


class TestCreate:
    BODY = {"app": "where2eat", "plan": "standard", "team": "team-ops", "cost_center": "CC-100"}

    def test_subscribes(self, app: App, consumer: APIClient) -> None:
        answer = consumer.post(PATH, self.BODY)

        subscription = Subscription.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {
            "id": str(subscription.pk),
            "app": "where2eat",
            "plan": "standard",
            "team": "team-ops",
            "organization": "demo",
            "cost_center": "CC-100",
            "environment": "production",
            "state": "active",
            "sandbox_credit": None,
            "starts_at": answer.json()["starts_at"],
            "ends_at": None,
            "planned": None,
            "trial": None,
        }

    def test_answers_a_repetition_with_the_first(self, app: App, consumer: APIClient) -> None:
        first, second = consumer.post(PATH, self.BODY), consumer.post(PATH, self.BODY)

        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == second.json()

    def test_refuses_other_terms(self, app: App, consumer: APIClient) -> None:
        make_plan(app, code="large")
        consumer.post(PATH, self.BODY)

        answer = consumer.post(PATH, self.BODY | {"plan": "large"})

        assert (answer.status_code, answer.json()["code"]) == (409, "already_subscribed")

    def test_takes_the_only_plan_team_and_its_cost_center(self, app: App, consumer: APIClient) -> None:
        assert consumer.post(PATH, {"app": "where2eat"}).json()["cost_center"] == "CC-100"

    def test_asks_which_team_when_there_are_several(self, cast: Cast, app: App, consumer: APIClient) -> None:
        join(cast.consumer, make_team(cast.company), "consumer")

        answer = consumer.post(PATH, {"app": "where2eat"})

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "team")

    @pytest.mark.parametrize(
        ("change", "status", "field"),
        [
            ({"app": "nothing"}, 404, None),
            ({"plan": "gold"}, 400, "plan"),
            ({"team": "team-ux"}, 404, None),
            ({"team": "strangers"}, 404, None),
            ({"cost_center": "CC-999"}, 404, None),
            ({"app": ""}, 400, "app"),
        ],
    )
    def test_refuses_what_does_not_fit(
        self, app: App, consumer: APIClient, change: dict, status: int, field: str | None
    ) -> None:
        answer = consumer.post(PATH, self.BODY | change)

        assert answer.status_code == status
        assert not field or answer.json()["errors"][0]["field"] == field
        assert not Subscription.objects.exists()

    def test_does_not_subscribe_a_stranger_to_a_private_app(self, cast: Cast, app: App) -> None:
        App.objects.update(is_public=False)

        assert with_key(cast.stranger).post(PATH, {"app": "where2eat"}).status_code == 404


class TestList:
    def test_filters_by_the_obvious_fields(
        self, cast: Cast, subscription: Subscription, consumer: APIClient
    ) -> None:
        make_subscription(subscription.app, cast.consumer_team, environment="sandbox")
        make_subscription(
            make_listed_app(cast.creator_team, slug="other"), cast.consumer_team, state="canceled"
        )

        counts = {
            query: len(consumer.get(f"{PATH}?{query}").json()["results"])
            for query in (
                "", "app=where2eat", "app=nothing", "team=team-ops", "state=canceled", "environment=sandbox"
            )
        }  # fmt: skip

        assert counts == {
            "": 3,
            "app=where2eat": 2,
            "app=nothing": 0,
            "team=team-ops": 3,
            "state=canceled": 1,
            "environment=sandbox": 1,
        }

    def test_refuses_an_unknown_state(self, consumer: APIClient) -> None:
        assert consumer.get(f"{PATH}?state=sleepy").status_code == 400

    def test_shows_a_stranger_nothing(self, cast: Cast, subscription: Subscription) -> None:
        assert with_key(cast.stranger).get(PATH).json()["results"] == []

    def test_shows_finance_every_team_s(self, cast: Cast, subscription: Subscription) -> None:
        assert len(with_key(cast.finance).get(PATH).json()["results"]) == 1


class TestChange:
    def test_moves_to_another_plan(self, subscription: Subscription, consumer: APIClient) -> None:
        make_plan(subscription.app, code="large")

        answer = consumer.post(f"{PATH}/{subscription.pk}/change", {"plan": "large"})

        assert (answer.status_code, answer.json()["plan"]) == (200, "large")


class TestCancel:
    def test_ends_it_once(self, subscription: Subscription, consumer: APIClient) -> None:
        first = consumer.post(f"{PATH}/{subscription.pk}/cancel", {"reason": "done"})
        second = consumer.post(f"{PATH}/{subscription.pk}/cancel", {})

        assert (first.status_code, first.json()["state"]) == (200, "canceled")
        assert (second.status_code, second.json()["code"]) == (409, "illegal_transition")


class TestKeys:
    def test_are_made_listed_rotated_and_revoked(
        self, subscription: Subscription, consumer: APIClient
    ) -> None:
        path = f"{PATH}/{subscription.pk}/keys"

        made = consumer.post(path, {"name": "ci"})
        rotated = consumer.post(f"{path}/{made.json()['id']}/rotate", {"overlap_hours": 1})
        revoked = consumer.post(f"{path}/{rotated.json()['id']}/revoke")

        assert (made.status_code, rotated.status_code, revoked.status_code) == (201, 201, 200)
        assert made["Cache-Control"] == "no-store"
        now = timezone.now()
        assert keys.authenticate(made.json()["key"], at=now).subscription_key.subscription == subscription
        with pytest.raises(keys.BadKey):
            keys.authenticate(made.json()["key"], at=now + timedelta(hours=1))
        with pytest.raises(keys.BadKey):
            keys.authenticate(rotated.json()["key"], at=now + timedelta(seconds=1))
        listed = consumer.get(path).json()["results"]
        assert [one["name"] for one in listed] == ["ci", "ci"]
        assert "key" not in listed[0]

    def test_may_not_end_in_the_past(self, subscription: Subscription, consumer: APIClient) -> None:
        answer = consumer.post(f"{PATH}/{subscription.pk}/keys", {"expires_at": "2020-01-01T00:00:00Z"})

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "expires_at")


class TestOthers:
    @pytest.mark.parametrize("action", ["change", "cancel", "keys"])
    def test_a_stranger_finds_nothing(self, cast: Cast, subscription: Subscription, action: str) -> None:
        stranger = with_key(cast.stranger)

        assert stranger.get(f"{PATH}/{subscription.pk}").status_code == 404
        assert stranger.post(f"{PATH}/{subscription.pk}/{action}", {"plan": "standard"}).status_code == 404
        assert Subscription.objects.get().state == "active"

    def test_a_stranger_finds_no_key(self, cast: Cast, subscription: Subscription) -> None:
        key, _ = subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW)

        for action in ("rotate", "revoke"):
            answer = with_key(cast.stranger).post(f"{PATH}/{subscription.pk}/keys/{key.pk}/{action}")
            assert answer.status_code == 404

    @pytest.mark.parametrize("action", ["change", "cancel", "keys"])
    def test_finance_looks_and_does_not_touch(
        self, cast: Cast, subscription: Subscription, action: str
    ) -> None:
        finance = with_key(cast.finance)

        assert finance.get(f"{PATH}/{subscription.pk}").status_code == 200
        assert finance.post(f"{PATH}/{subscription.pk}/{action}", {"plan": "standard"}).status_code == 403

    @pytest.mark.parametrize("wrong", ["0192f000-0000-7000-8000-000000000000", "nothing"])
    def test_nobody_finds_what_is_not_there(self, db: None, consumer: APIClient, wrong: str) -> None:
        assert consumer.get(f"{PATH}/{wrong}").status_code == 404
