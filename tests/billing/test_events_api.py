"""GET /meter/{app}/{id}: to whom it tells what."""

from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from django.test import Client
from rest_framework.test import APIClient

from marketplace.accounts import keys, people
from marketplace.accounts.models import ApiKey, User
from marketplace.catalog.models import App, AppKey
from metering import ingest
from tests.architecture.test_urls import routes
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.test_event_stories import STRANGE_IDS
from tests.metering.usage_world import TODAY, World, make_world, used


@pytest.fixture
def world(cast: Cast) -> World:
    return make_world(cast)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=NOW):
        yield


def app_key(app: App, cast: Cast, *, environment: str = "production") -> str:
    key, secret = keys.issue(kind="app", organization=cast.company, at=NOW, by=None)
    AppKey.objects.create(key=key, app=app, environment=environment)
    return secret


def client_with(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def person_client(user: User) -> APIClient:
    return client_with(people.issue_personal_key(user, by=user, at=NOW)[1])


def path(event_id: str, *, app: str = "where2eat") -> str:
    return f"/meter/{app}/{quote(event_id, safe='')}"


class TestEvent:
    def test_tells_its_people_everything(self, cast: Cast, world: World) -> None:
        body = person_client(cast.consumer).get(path("e2")).json()

        assert (body["app_id"], body["id"], body["is_archived"]) == ("where2eat", "e2", False)
        assert body["receipt"] == {
            "status": "accepted",
            "occurred_at": "2026-11-15T11:30:00Z",
            "received_at": "2026-11-15T12:00:00Z",
            "is_late": False,
            "is_estimated": False,
        }
        assert (body["quantities"]["input_tokens"], body["quantities"]["output_tokens"]) == (500_000, 100_000)
        amounts = body["amounts"]
        assert (amounts["cost"], amounts["currency"], amounts["unexplained"]) == ("0.16", "USD", "0")
        card = amounts["rate_card_id"]
        assert amounts["lines"] == [
            {"measure": "input_tokens", "quantity": 500_000, "unit_price": "0.2", "per": 1_000_000, "amount": "0.1", "rate_card_id": card},
            {"measure": "output_tokens", "quantity": 100_000, "unit_price": "0.6", "per": 1_000_000, "amount": "0.06", "rate_card_id": card},
        ]  # fmt: skip
        assert [one["id"] for one in body["prices"]] == [card]
        assert body["dimensions"]["team"] == "team-ops"
        assert (body["rollup_hour"], body["period"]) == ("2026-11-15T11:00:00Z", "2026-11")
        assert (body["invoice_line"], body["billed_in"]) == ("unbilled", "2026-11")
        assert (body["corrections"], body["corrects"], body["conflicts"]) == ([], None, None)
        assert body["effective"]["cost"] == "0.16"

    def test_tells_makers_and_the_app_key_all_but_by_whom(self, cast: Cast, world: World) -> None:
        for client in (person_client(cast.creator), client_with(app_key(world.app, cast))):
            answer = client.get(path("e2"))

            body = answer.json()
            assert body["amounts"]["cost"] == "0.16"
            assert body["conflicts"] == []
            assert body["invoice_line"] == "unbilled"
            for secret in ("team-ops", "CC-100", str(world.subscription.pk), str(world.key.pk), "demo"):
                assert secret not in answer.content.decode()

    def test_tells_the_platform_everything(self, cast: Cast, world: World) -> None:
        for person in (cast.finance, cast.operator, cast.approver):
            assert person_client(person).get(path("e4")).json()["dimensions"]["team"] == "strangers"

    def test_is_open_to_a_session(self, cast: Cast, world: World, client: Client) -> None:
        client.force_login(cast.consumer)

        assert client.get(path("e2")).status_code == 200

    def test_of_the_sandbox_is_never_billed(self, cast: Cast, world: World) -> None:
        body = person_client(cast.consumer).get(path("e5", app="fx")).json()

        assert (body["invoice_line"], body["billed_in"]) == ("never_billed", None)

    @pytest.mark.parametrize("event_id", [*STRANGE_IDS, "a\tb", "🙂"])
    def test_is_found_by_any_id(self, cast: Cast, world: World, event_id: str) -> None:
        ingest.record([used(world.subscription, event_id, at=TODAY, input_tokens=1)], at=NOW)
        client = client_with(app_key(world.app, cast))

        answer = client.get(path(event_id))

        assert (answer.status_code, answer.json()["id"]) == (200, event_id)

    def test_is_found_with_slashes_that_are_not_encoded(self, cast: Cast, world: World) -> None:
        ingest.record([used(world.subscription, "runs/7/amend", at=TODAY, input_tokens=1)], at=NOW)

        assert (
            person_client(cast.consumer).get("/meter/where2eat/runs/7/amend").json()["id"] == "runs/7/amend"
        )


class TestRefusals:
    def test_of_what_does_not_exist_or_is_of_others_read_the_same(self, cast: Cast, world: World) -> None:
        other_app = client_with(app_key(world.other_app, cast))
        own = client_with(app_key(world.app, cast))
        asked = [
            (person_client(cast.stranger), path("e2")),
            (person_client(cast.consumer), path("e3")),
            (person_client(cast.consumer), path("nothing")),
            (other_app, path("e2")),
            (own, path("e5", app="fx")),
            (own, path("e2", app="nothing")),
            (client_with(app_key(world.app, cast, environment="staging")), path("e2")),
        ]

        for client, address in asked:
            answer = client.get(address)
            assert answer.status_code == 404
            assert answer["Content-Type"] == "application/problem+json"
            told = answer.json()["detail"]
            assert told.startswith("There is no usage event '")
            assert told.endswith("' that you can see.")

    def test_of_missing_and_wrong_keys(self, cast: Cast, world: World) -> None:
        revoked = app_key(world.app, cast)
        keys.revoke(ApiKey.objects.get(prefix=revoked.split("_")[2]), at=NOW, by=None)
        homeless = keys.issue(kind="app", organization=cast.company, at=NOW, by=None)[1]
        of_subscription = keys.issue(kind="sub", organization=cast.company, at=NOW, by=None)[1]

        assert APIClient().get(path("e2")).status_code == 401
        for secret in (revoked, homeless, of_subscription, revoked[:-1], "hp_app_", "hp_app_x_ü"):
            assert client_with(secret).get(path("e2")).status_code == 401, secret

    def test_of_other_methods(self, cast: Cast, world: World) -> None:
        client = client_with(app_key(world.app, cast))

        for method in (client.post, client.put, client.patch, client.delete):
            assert method(path("e2")).status_code == 405


class TestAppKey:
    def test_opens_nothing_else(self, cast: Cast, world: World) -> None:
        client = client_with(app_key(world.app, cast))
        # The schema of manifests is for everybody; messages of the payment processor are known by their signature.
        keyless = ("api:manifest-schema", "api:stripe-webhook")
        apis = [route for route in routes() if route.name.startswith("api:") and route.name not in keyless]

        answers = {
            (route.name, method): getattr(client, method)(route.path).status_code
            for route in apis
            for method in ("get", "post", "put", "patch", "delete")
        }

        assert len(apis) > 40
        assert set(answers.values()) == {401}, {
            name: status for name, status in answers.items() if status != 401
        }

    def test_is_noted_as_used(self, cast: Cast, world: World) -> None:
        secret = app_key(world.app, cast)

        client_with(secret).get(path("e2"))

        assert ApiKey.objects.get(prefix=secret.split("_")[2]).last_used_at == NOW


def test_app_key_signs_nobody_in(cast: Cast, world: World) -> None:
    client: Any = client_with(app_key(world.app, cast))

    assert client.get("/usage/").status_code == 302
