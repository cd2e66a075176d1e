"""What people and programs see when something is not there, not theirs, or broken."""

from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client

from marketplace.config import home
from marketplace.core.errors import NotAllowed
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    """A browser that gets the page of a surprise, as people do."""
    return Client(raise_request_exception=False)


class Broken(Exception):
    pass


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Broken("a secret detail")

    monkeypatch.setattr(home, "_tours", fail)


class TestPages:
    def test_say_that_there_is_nothing(self, client: Client, cast: Cast, settings: Any) -> None:
        settings.MARKETPLACE_NAME = "Our market"
        client.force_login(cast.consumer)

        answer = client.get("/nothing/here/")

        page = answer.content.decode()
        assert (answer.status_code, "There is nothing here" in page) == (404, True)
        assert "Our market" in page
        assert 'href="/catalog/"' in page

    def test_say_the_reason_of_a_refusal(self, client: Client, cast: Cast) -> None:
        client.force_login(cast.consumer)

        answer = client.get("/operator/")

        page = answer.content.decode()
        assert (answer.status_code, "You may not do that" in page) == (403, True)
        assert "This is for operator only." in page

    def test_tell_a_surprise_by_a_number_and_nothing_else(self, client: Client, broken: None) -> None:
        answer = client.get("/")

        page = answer.content.decode()
        assert (answer.status_code, "That was our fault" in page) == (500, True)
        assert "When you ask for help, give this number" in page
        assert "secret detail" not in page

    def test_stand_when_what_every_page_needs_is_broken(
        self, client: Client, broken: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(request: HttpRequest) -> dict[str, Any]:
            raise Broken

        monkeypatch.setattr("marketplace.config.context.queries.unread_notices", away)
        monkeypatch.setattr("marketplace.config.context._demo_roles", away)
        monkeypatch.setattr("marketplace.config.context.settings.DEMO", True)

        answer = client.get("/")

        assert (answer.status_code, "That was our fault" in answer.content.decode()) == (500, True)

    def test_help_with_a_form_that_waited_too_long(self, cast: Cast) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(cast.consumer)

        answer = strict.post("/notices/read/")

        assert (answer.status_code, "waited too long" in answer.content.decode()) == (403, True)


class TestApi:
    @pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/nothing/"])
    def test_answers_an_unknown_address_with_problem_details(self, client: Client, path: str) -> None:
        answer = client.get(path)

        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["code"]) == (404, "not_found")
        assert answer.json()["detail"].startswith("There is nothing")

    def test_answers_a_surprise_with_problem_details(
        self, client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise Broken("a secret detail")

        monkeypatch.setattr("marketplace.catalog.api.apps.actor_of", fail)
        client.force_login(cast.consumer)

        answer = client.get("/api/v1/apps")

        assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
        assert (answer.json()["code"], "secret" in str(answer.json())) == ("internal", False)

    def test_answers_a_refusal_of_the_domain(
        self, client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise NotAllowed("Not yours.")

        monkeypatch.setattr("marketplace.catalog.api.apps.actor_of", refuse)
        client.force_login(cast.consumer)

        answer = client.get("/api/v1/apps")

        assert (answer.status_code, answer.json()["detail"]) == (403, "Not yours.")
