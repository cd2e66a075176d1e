"""Pages and API on which an app changes hands."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import Team, User
from marketplace.catalog import ownership
from marketplace.catalog.models import App
from marketplace.catalog.owning import AppTransfer
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
PAGE = "/creator/apps/where2eat/transfer/"
API = "/api/v1/apps/where2eat/transfer"


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, slug="where2eat")


@pytest.fixture
def heirs(cast: Cast, app: App) -> Team:
    return factories.make_team(cast.company, slug="heirs", name="Heirs")


@pytest.fixture
def heir(heirs: Team) -> User:
    person = factories.make_user("heir@demo.example")
    factories.join(person, heirs, "creator")
    return person


def post(client: Client, person: User, path: str, **data: Any) -> Any:
    client.force_login(person)
    return client.post(path, data)


def call(client: Client, person: User, path: str, body: Any = None) -> Any:
    client.force_login(person)
    return client.get(path) if body is None else client.post(path, body, content_type="application/json")


class TestPage:
    def test_leads_from_an_offer_to_the_new_owner(
        self, cast: Cast, app: App, heirs: Team, heir: User, client: Client
    ) -> None:
        client.force_login(heir)
        assert client.get(PAGE).status_code == 404

        offered = post(client, cast.creator, PAGE, team=heirs.pk, starts_on="", reason="They run it.")
        assert offered.status_code == 302
        assert b"Take it back" in client.get(PAGE).content

        client.force_login(heir)
        assert b"offers it to" in client.get(PAGE).content
        assert post(client, heir, PAGE, decision="accept").status_code == 302
        assert ownership.coming(app, at=timezone.now()) is not None
        assert b"It moves to Heirs" in client.get(PAGE).content

    def test_says_what_is_wrong(self, cast: Cast, app: App, heirs: Team, client: Client) -> None:
        past = post(client, cast.creator, PAGE, team=heirs.pk, starts_on="2020-01-01", reason="Late.")
        foreign = post(client, cast.creator, PAGE, team=cast.stranger_team.pk, reason="Away.")

        assert past.status_code == foreign.status_code == 200
        assert not AppTransfer.objects.exists()

    def test_takes_a_decline_with_its_reason(
        self, cast: Cast, app: App, heirs: Team, heir: User, client: Client
    ) -> None:
        post(client, cast.creator, PAGE, team=heirs.pk, reason="They run it.")

        assert b"Give a reason" in post(client, heir, PAGE, decision="decline", note="").content
        assert post(client, heir, PAGE, decision="decline", note="No time.").status_code == 302
        assert AppTransfer.objects.get().state == "declined"

    @pytest.mark.parametrize("who", ["consumer", "approver", "finance", "stranger"])
    def test_is_not_for_others(self, cast: Cast, app: App, heirs: Team, client: Client, who: str) -> None:
        assert post(client, getattr(cast, who), PAGE, team=heirs.pk, reason="Mine.").status_code == 404

    def test_asks_few_questions(
        self, cast: Cast, app: App, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(20):
            factories.make_team(cast.company, name=f"Team {number}")
        client.force_login(cast.creator)

        with django_assert_max_num_queries(12):
            client.get(PAGE)


class TestApi:
    def test_offers_and_accepts(self, cast: Cast, heirs: Team, heir: User, client: Client) -> None:
        body = {"team": "heirs", "reason": "They run it."}
        made = call(client, cast.creator, API, body)

        assert (made.status_code, made.json()["state"]) == (201, "proposed")
        assert call(client, cast.creator, API, body).status_code == 409
        path = f"/api/v1/transfers/{made.json()['id']}"
        assert call(client, cast.creator, f"{path}/accept", {}).status_code == 403
        accepted = call(client, heir, f"{path}/accept", {"note": "Gladly."})
        assert (accepted.status_code, accepted.json()["decided_by"]) == (200, heir.email)
        assert call(client, heir, f"{path}/decline", {"note": "Or not."}).status_code == 409

    def test_withdraws(self, cast: Cast, heirs: Team, heir: User, client: Client) -> None:
        made = call(client, cast.creator, API, {"team": "heirs", "reason": "They run it."}).json()
        path = f"/api/v1/transfers/{made['id']}/withdraw"

        assert call(client, heir, path, {}).status_code == 403
        assert call(client, cast.creator, path, {}).json()["state"] == "withdrawn"

    def test_names_the_wrong_field(self, cast: Cast, heirs: Team, client: Client) -> None:
        for team in ("strangers", "team-ux", "nobody"):
            answer = call(client, cast.creator, API, {"team": team, "reason": "Away."})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "team")

    def test_is_not_for_strangers(self, cast: Cast, heirs: Team, client: Client) -> None:
        made = call(client, cast.creator, API, {"team": "heirs", "reason": "They run it."}).json()

        assert call(client, cast.stranger, API, {"team": "heirs", "reason": "Mine."}).status_code == 404
        for action in ("accept", "decline", "withdraw"):
            path = f"/api/v1/transfers/{made['id']}/{action}"
            assert call(client, cast.stranger, path, {"note": "x"}).status_code == 404
        assert call(client, cast.stranger, "/api/v1/transfers").json()["results"] == []
