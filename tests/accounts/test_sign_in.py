import json
from importlib import reload
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings
from requests import Response

from marketplace.accounts.models import User
from marketplace.accounts.sign_in import CompanyAccountAdapter
from marketplace.config import settings as our_settings
from tests.conftest import Cast

PASSWORD = "a long enough passphrase"
ENVIRONMENT = {
    "OIDC_SERVER_URL": "https://login.example.com",
    "OIDC_CLIENT_ID": "halfpenny",
    "OIDC_CLIENT_SECRET": "not telling",
    "OIDC_NAME": "Example & Sons",
}


def sign_in(client: Client, email: str, password: str = PASSWORD):
    return client.post("/accounts/login/", {"login": email, "password": password})


class TestLogin:
    def test_lets_in_whoever_knows_the_password(self, cast: Cast, client: Client) -> None:
        cast.consumer.set_password(PASSWORD)
        cast.consumer.save()

        response = sign_in(client, "Consumer@Demo.Example")

        assert (response.status_code, response["Location"]) == (302, "/")
        assert client.get("/me/keys/").status_code == 200

    def test_keeps_out_everybody_else(self, cast: Cast, client: Client) -> None:
        response = sign_in(client, "consumer@demo.example", "a wrong passphrase")

        assert response.status_code == 200
        assert "_auth_user_id" not in client.session

    def test_keeps_out_demo_people_who_have_no_password(self, cast: Cast, client: Client) -> None:
        sign_in(client, "consumer@demo.example", "")

        assert "_auth_user_id" not in client.session

    def test_returns_to_the_page_that_was_asked_for(self, cast: Cast, client: Client) -> None:
        cast.consumer.set_password(PASSWORD)
        cast.consumer.save()

        response = client.post(
            "/accounts/login/?next=/teams/", {"login": "consumer@demo.example", "password": PASSWORD}
        )

        assert response["Location"] == "/teams/"


class TestSignUp:
    FORM = {"email": "new@demo.example", "password1": PASSWORD, "password2": PASSWORD}

    def test_makes_a_person_without_any_rights(self, db: None, client: Client, settings: Settings) -> None:
        settings.OPEN_SIGN_UP = True

        client.post("/accounts/signup/", self.FORM)

        person = User.objects.get(email="new@demo.example")
        assert not person.memberships.exists()
        assert "You belong to no team yet" in client.get("/").content.decode()

    def test_is_closed_by_a_setting(self, db: None, client: Client, settings: Settings) -> None:
        settings.OPEN_SIGN_UP = False

        assert client.post("/accounts/signup/", self.FORM).status_code == 200
        assert not User.objects.exists()


class TestPasswordReset:
    def test_sends_a_link(self, cast: Cast, client: Client) -> None:
        cast.consumer.set_password(PASSWORD)
        cast.consumer.save()

        client.post("/accounts/password/reset/", {"email": "consumer@demo.example"})

        assert "/accounts/password/reset/key/" in mail.outbox[0].body


class Provider:
    """A company's provider, answering what allauth asks it instead of the network."""

    URL = "https://login.example.com"

    def __init__(self) -> None:
        self.person: dict[str, object] = {"sub": "42", "email": "ada@demo.example", "email_verified": True}

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get(self, url: str, **options: object) -> Response:
        if url.endswith("/userinfo"):
            return self._answer(self.person)
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
        }
        return self._answer({name: f"{self.URL}/{path}" for name, path in names.items()})

    def request(self, method: str, url: str, **options: object) -> Response:
        return self._answer({"access_token": "granted", "token_type": "bearer"})

    def _answer(self, body: dict[str, object]) -> Response:
        answer = Response()
        answer.status_code, answer._content = 200, json.dumps(body).encode()
        answer.headers["Content-Type"] = "application/json"
        return answer


@pytest.fixture
def provider(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A configured company sign-in, in an installation where nobody else can sign up."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        settings.SOCIALACCOUNT_PROVIDERS = reload(our_settings).SOCIALACCOUNT_PROVIDERS
    reload(our_settings)
    settings.OPEN_SIGN_UP = False
    provider = Provider()
    monkeypatch.setattr(CompanyAccountAdapter, "get_requests_session", lambda self: provider)
    return provider


def come_from(provider: Provider, client: Client) -> HttpResponse:
    """Follow the link of the login page to the provider, and come back from there."""
    there = client.get("/accounts/oidc/oidc/login/")
    assert there["Location"].startswith(f"{provider.URL}/authorize?")
    [state] = parse_qs(urlsplit(there["Location"]).query)["state"]
    return client.get("/accounts/oidc/oidc/login/callback/", {"code": "x", "state": state})


class TestCompanySignIn:
    def test_shows_on_the_login_page_once_it_is_configured(
        self, db: None, client: Client, provider: Provider
    ) -> None:
        page = client.get("/accounts/login/").content.decode()

        assert "Example &amp; Sons" in page
        assert 'href="/accounts/oidc/oidc/login/' in page
        assert "/accounts/signup/" not in page

    def test_is_absent_without_settings(self, db: None, client: Client) -> None:
        assert "/accounts/oidc/" not in client.get("/accounts/login/").content.decode()

    def test_lets_new_people_in_without_any_rights(
        self, cast: Cast, client: Client, provider: Provider
    ) -> None:
        come_from(provider, client)

        ada = User.objects.get(email="ada@demo.example")
        assert client.session["_auth_user_id"] == str(ada.pk)
        assert not ada.memberships.exists()

    def test_knows_people_who_were_here_before(self, cast: Cast, client: Client, provider: Provider) -> None:
        provider.person["email"] = "Consumer@Demo.Example"

        for _ in range(2):
            client.logout()
            come_from(provider, client)
            assert client.session["_auth_user_id"] == str(cast.consumer.pk)

    def test_believes_no_address_that_was_not_verified(
        self, cast: Cast, client: Client, provider: Provider
    ) -> None:
        provider.person |= {"email": "finance@demo.example", "email_verified": False}

        come_from(provider, client)

        assert client.session.get("_auth_user_id") != str(cast.finance.pk)

    def test_refuses_an_answer_that_nobody_asked_for(
        self, cast: Cast, client: Client, provider: Provider
    ) -> None:
        client.get("/accounts/oidc/oidc/login/callback/", {"code": "x", "state": "guessed"})

        assert "_auth_user_id" not in client.session


class TestAccountPages:
    @pytest.mark.parametrize(
        "path",
        [
            "/accounts/email/",
            "/accounts/password/change/",
            "/accounts/2fa/",
            "/accounts/3rdparty/",
            "/accounts/logout/",
        ],
    )
    def test_are_drawn_in_our_frame(self, cast: Cast, client: Client, path: str) -> None:
        cast.consumer.set_password(PASSWORD)
        cast.consumer.save()
        client.force_login(cast.consumer)

        page = client.get(path)

        assert page.status_code == 200
        assert 'id="main"' in page.content.decode()
        assert "<style" not in page.content.decode()


class TestLinkToSignUp:
    @pytest.mark.parametrize("is_open", [True, False])
    def test_is_there_only_when_it_leads_somewhere(
        self, db: None, client: Client, settings: Settings, is_open: bool
    ) -> None:
        settings.OPEN_SIGN_UP = is_open

        assert ("/accounts/signup/" in client.get("/accounts/login/").content.decode()) is is_open
