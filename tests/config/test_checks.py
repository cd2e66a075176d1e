from decimal import Decimal

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from marketplace.config import checks

OIDC = {"provider_id": "oidc", "name": "Company", "client_id": "", "secret": "", "settings": {}}


@pytest.fixture
def production(settings: Settings) -> Settings:
    """Settings that production should have."""
    settings.SECRET_KEY = "k" * 50
    settings.DEBUG = settings.DEMO = settings.OPEN_SIGN_UP = False
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.PUBLIC_URL = "https://apps.example.com"
    settings.ALLOWED_HOSTS = ["apps.example.com"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.ARCHIVE_DIR = "/srv/archive"
    return settings


def ids(**options: bool) -> list[str]:
    return [m.id for m in run_checks(include_deployment_checks=options.get("deploy", False)) if ours(m.id)]


def ours(check_id: str | None) -> bool:
    return (check_id or "").startswith("halfpenny.")


class TestChecks:
    def test_find_nothing_in_development(self) -> None:
        assert ids() == []

    def test_find_nothing_in_a_proper_production(self, production: Settings) -> None:
        assert ids(deploy=True) == []

    @pytest.mark.parametrize(
        ("name", "value", "check_id"),
        [
            ("CURRENCY", "XXX", "halfpenny.E001"),
            ("DEFAULT_REVENUE_SHARE", Decimal(20), "halfpenny.E002"),
            ("SANDBOX_CREDIT", Decimal(-1), "halfpenny.E003"),
            ("EVENT_RETENTION_MONTHS", 2, "halfpenny.E005"),
            ("EVENT_RETENTION_MONTHS", -1, "halfpenny.E005"),
            ("SOCIALACCOUNT_PROVIDERS", {"openid_connect": {"APPS": [OIDC]}}, "halfpenny.E004"),
        ],
    )
    def test_refuse_what_cannot_work(
        self, settings: Settings, name: str, value: object, check_id: str
    ) -> None:
        setattr(settings, name, value)

        assert ids() == [check_id]

    @pytest.mark.parametrize(
        ("name", "value", "check_id"),
        [
            ("SECRET_KEY", checks.DEFAULT_SECRET_KEY, "halfpenny.E010"),
            ("SECRET_KEY", "short", "halfpenny.E010"),
            ("DEBUG", True, "halfpenny.E011"),
            ("CSRF_COOKIE_SECURE", False, "halfpenny.E012"),
            ("PUBLIC_URL", "http://apps.example.com", "halfpenny.E013"),
            ("PUBLIC_URL", "https://localhost", "halfpenny.E013"),
            ("ALLOWED_HOSTS", ["*"], "halfpenny.E014"),
            ("ALLOWED_HOSTS", ["localhost"], "halfpenny.E014"),
            ("DEMO", True, "halfpenny.E016"),
            ("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend", "halfpenny.W017"),
            ("ARCHIVE_DIR", "", "halfpenny.W018"),
        ],
    )
    def test_refuse_what_production_must_not_have(
        self, production: Settings, name: str, value: object, check_id: str
    ) -> None:
        setattr(production, name, value)

        assert ids(deploy=True) == [check_id]

    def test_warn_of_sign_up_with_foreign_mail_addresses(self, production: Settings) -> None:
        production.OPEN_SIGN_UP = True
        production.ACCOUNT_EMAIL_VERIFICATION = "none"

        assert ids(deploy=True) == ["halfpenny.W015"]

    def test_know_the_development_key_of_the_settings(self, settings: Settings) -> None:
        assert settings.SECRET_KEY == checks.DEFAULT_SECRET_KEY

    def test_come_with_a_hint(self, production: Settings) -> None:
        production.DEMO = production.DEBUG = True

        assert all(m.hint for m in run_checks(include_deployment_checks=True) if ours(m.id))
