"""System checks of our settings: what cannot work at all, and (``check --deploy``) what production must not have.

Each has an id that can be looked up and a hint that names the environment variable to set.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from marketplace.core.money import MINOR_EXPONENTS

DEFAULT_SECRET_KEY = "development-only-key-that-the-deploy-check-refuses"
MIN_SECRET_LENGTH = 50
LEAST_RETENTION_MONTHS = 3
STRIPE_KEYS = ("sk_test_", "rk_test_", "sk_live_", "rk_live_")
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]", "testserver"})


def register_all() -> None:
    """Make Django run these checks; called once, when the apps are ready."""
    register(check_economy)
    register(check_retention)
    register(check_sign_in)
    register(check_payments)
    register(check_secrets, Tags.security, deploy=True)
    register(check_public_address, Tags.security, deploy=True)
    register(check_demo_is_off, Tags.security, deploy=True)
    register(check_archive, deploy=True)


def check_economy(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Amounts that the marketplace starts from must make sense."""
    found: list[CheckMessage] = []
    if settings.CURRENCY not in MINOR_EXPONENTS:
        found.append(
            Error(
                f"{settings.CURRENCY!r} is not a currency in circulation.",
                hint="Set HALFPENNY_CURRENCY to an ISO 4217 code such as USD.",
                id="halfpenny.E001",
            )
        )
    if not Decimal(0) <= settings.DEFAULT_REVENUE_SHARE <= Decimal(1):
        found.append(
            Error(
                f"A revenue share of {settings.DEFAULT_REVENUE_SHARE} is not a share.",
                hint="Set HALFPENNY_REVENUE_SHARE to a fraction from 0 to 1: 0.20 keeps a fifth.",
                id="halfpenny.E002",
            )
        )
    if settings.SANDBOX_CREDIT < 0:
        found.append(
            Error(
                "The sandbox credit is negative.",
                hint="Set HALFPENNY_SANDBOX_CREDIT to what a team may try for in a month, 0 for nothing.",
                id="halfpenny.E003",
            )
        )
    return found


def check_retention(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Late usage is taken for 35 days, so younger months still change."""
    months = settings.EVENT_RETENTION_MONTHS
    if months == 0 or months >= LEAST_RETENTION_MONTHS:
        return []
    return [
        Error(
            f"Events cannot be archived after {months} months: usage of them may still come in.",
            hint=f"Set HALFPENNY_EVENT_RETENTION_MONTHS to at least {LEAST_RETENTION_MONTHS}, or 0 to keep all.",
            id="halfpenny.E005",
        )
    ]


def check_sign_in(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A company sign-in needs its client."""
    apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    if all(app["client_id"] and app["secret"] for app in apps):
        return []
    return [
        Error(
            "The OpenID Connect provider has no client.",
            hint="Set OIDC_CLIENT_ID and OIDC_CLIENT_SECRET, or unset OIDC_SERVER_URL.",
            id="halfpenny.E004",
        )
    ]


def check_payments(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A key of Stripe must be a secret one, meant for this installation, and what it tells us must be provable."""
    key = settings.STRIPE_SECRET_KEY
    if not key:
        return []
    found: list[CheckMessage] = []
    if not key.startswith(STRIPE_KEYS):
        found.append(
            Error(
                "The key of Stripe is no secret or restricted key.",
                hint="Set STRIPE_SECRET_KEY to one that begins with sk_test_, rk_test_, sk_live_ or rk_live_.",
                id="halfpenny.E020",
            )
        )
    if not settings.STRIPE_WEBHOOK_SECRET.startswith("whsec_"):
        found.append(
            Error(
                "Nothing that Stripe tells us could be believed.",
                hint="Set STRIPE_WEBHOOK_SECRET to the signing secret of the endpoint /api/v1/webhooks/stripe.",
                id="halfpenny.E021",
            )
        )
    if "_live_" in key and (settings.DEMO or not settings.STRIPE_LIVE):
        found.append(
            Error(
                "The key of Stripe moves real money.",
                hint="Set HALFPENNY_STRIPE_LIVE=true, with DEMO off, when that is meant; else take a test key.",
                id="halfpenny.E022",
            )
        )
    return found


def check_secrets(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Sessions and signed links are only as good as the secret key, and debug pages show everything."""
    found: list[CheckMessage] = []
    if settings.SECRET_KEY == DEFAULT_SECRET_KEY or len(settings.SECRET_KEY) < MIN_SECRET_LENGTH:
        found.append(
            Error(
                "The secret key is the one of development, or too short.",
                hint=f"Set SECRET_KEY to at least {MIN_SECRET_LENGTH} random characters and keep it secret.",
                id="halfpenny.E010",
            )
        )
    if settings.DEBUG:
        found.append(
            Error(
                "Debug mode is on.",
                hint="Set DEBUG=false: error pages show settings and code.",
                id="halfpenny.E011",
            )
        )
    if not (settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE):
        found.append(
            Error(
                "Session cookies travel over plain HTTP.",
                hint="Set SECURE_COOKIES=true (the default when DEBUG is off) and serve over HTTPS.",
                id="halfpenny.E012",
            )
        )
    return found


def check_public_address(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Links in mails and code snippets lead to the public address; only our hosts may be asked for."""
    found: list[CheckMessage] = []
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme != "https" or public.hostname in LOCAL_HOSTS:
        found.append(
            Error(
                f"{settings.PUBLIC_URL!r} is no public HTTPS address.",
                hint="Set HALFPENNY_PUBLIC_URL, such as https://apps.example.com.",
                id="halfpenny.E013",
            )
        )
    hosts = set(settings.ALLOWED_HOSTS)
    if "*" in hosts or not hosts - LOCAL_HOSTS:
        found.append(
            Error(
                "ALLOWED_HOSTS names no public host, or every host.",
                hint="Set ALLOWED_HOSTS to the host of HALFPENNY_PUBLIC_URL.",
                id="halfpenny.E014",
            )
        )
    if settings.EMAIL_BACKEND.endswith(("console.EmailBackend", "dummy.EmailBackend", "KeepingBackend")):
        found.append(
            Warning(
                "Mails are printed, kept or dropped: nobody can confirm an address or reset a password.",
                hint="Set EMAIL_BACKEND, such as django.core.mail.backends.smtp.EmailBackend.",
                id="halfpenny.W017",
            )
        )
    if settings.ACCOUNT_EMAIL_VERIFICATION == "none" and settings.OPEN_SIGN_UP:
        found.append(
            Warning(
                "Anybody can sign up with a mail address that is not theirs.",
                hint="Set ACCOUNT_EMAIL_VERIFICATION=mandatory, or HALFPENNY_OPEN_SIGN_UP=false.",
                id="halfpenny.W015",
            )
        )
    return found


def check_demo_is_off(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """In the demo anybody enters as anybody."""
    if not settings.DEMO:
        return []
    return [
        Error(
            "The demo is on: anybody may sign in as finance or operator with one click.",
            hint="Unset DEMO, or set DEMO=false.",
            id="halfpenny.E016",
        )
    ]


def check_archive(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without a folder that stays, old events stay in the database."""
    if settings.ARCHIVE_DIR or not settings.EVENT_RETENTION_MONTHS:
        return []
    return [
        Warning(
            "Old events are never archived: there is no folder for them.",
            hint="Set HALFPENNY_ARCHIVE_DIR to a folder that lasts, or HALFPENNY_EVENT_RETENTION_MONTHS=0 to keep all.",
            id="halfpenny.W018",
        )
    ]
