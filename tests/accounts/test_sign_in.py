from importlib import reload

import pytest
from django.core import mail
from django.test import Client
from pytest_django import Settings

from marketplace.accounts.models import User
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


class TestCompanySignIn:
    def test_shows_on_the_login_page_once_it_is_configured(
        self, db: None, client: Client, settings: Settings
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            settings.SOCIALACCOUNT_PROVIDERS = reload(our_settings).SOCIALACCOUNT_PROVIDERS
        reload(our_settings)

        page = client.get("/accounts/login/").content.decode()

        assert "Example &amp; Sons" in page
        assert "/accounts/oidc/oidc/login/" in page

    def test_is_absent_without_settings(self, db: None, client: Client) -> None:
        assert "/accounts/oidc/" not in client.get("/accounts/login/").content.decode()


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
