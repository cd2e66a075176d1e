"""Which pages a guest may open; every other one asks who it is before it looks up or does anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.shortcuts import resolve_url
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

ANY_ID = "018f0000-0000-7000-8000-000000000000"
# What stands in a path: by the name of the part, else by its converter.
BY_NAME = {"name": "2026-10", "number": "INV-2026-000001", "role": "creator", "provider_id": "oidc"}
BY_CONVERTER = {"SlugConverter": "where2eat", "IntConverter": "1"}

OURS = ("accounts:", "api:", "billing:", "catalog:", "gateway:", "meter:", "metering:", "quotas:")
# The last three are reached from a mail: the token in their path is what allows them.
PUBLIC = {
    "home", "healthz", "readyz", "gateway:metrics", "schema", "api-docs", "accounts:enter", "metering:report-unsubscribe",
    "quotas:increase-by-mail", "api:stripe-webhook", "api:manifest-schema", "accounts:unsubscribe",
}  # fmt: skip
# Of allauth: signing in and up, and what leads back from a mail or from the company's sign-in.
PUBLIC_ACCOUNT = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_signup",
    "account_email_verification_sent",
    "account_confirm_email",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "socialaccount_login_cancelled",
    "socialaccount_login_error",
}


@dataclass(frozen=True)
class Route:
    """A named path with something in its variable parts."""

    name: str
    path: str


def routes() -> list[Route]:
    """Return every named path."""
    found = []
    for name, pattern in _named(get_resolver().url_patterns, ""):
        converters = {
            part: type(converter).__name__ for part, converter in pattern.pattern.converters.items()
        }
        values = {part: _value(part, converters.get(part, "")) for part in pattern.pattern.regex.groupindex}
        try:
            found.append(Route(name, reverse(name, kwargs=values or None)))
        except NoReverseMatch:
            # The sign-in of a company that has none in the tests, and ids in allauth's own shape.
            assert not name.startswith(OURS), f"{name} {values}"
    return found


def _value(part: str, converter: str) -> str:
    """Give what may stand there: a number of a policy is one of digits, that of an invoice is not."""
    if converter == "IntConverter":
        return BY_CONVERTER[converter]
    return BY_NAME.get(part, BY_CONVERTER.get(converter, ANY_ID))


def _named(patterns: list[Any], namespace: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _named(pattern.url_patterns, inner)
        elif pattern.name:
            yield f"{namespace}{pattern.name}", pattern


def asks_who_it_is(client: Client, path: str) -> bool:
    """Tell whether a guest is sent to sign in, or told to, whatever the method."""
    answers = [client.get(path), client.post(path)]
    sign_in = (resolve_url(settings.LOGIN_URL), reverse("admin:login"))
    return all(
        answer.status_code == 401
        or (answer.status_code == 302 and answer.headers["Location"].startswith(sign_in))
        for answer in answers
    )


@pytest.mark.django_db
class TestPages:
    def test_are_closed_to_guests_unless_they_are_listed_here(self, client: Client) -> None:
        ours = [route for route in routes() if route.name in PUBLIC or route.name.startswith(OURS)]

        is_open = {route.name for route in ours if not asks_who_it_is(client, route.path)}

        assert is_open == PUBLIC
        assert len(ours) > 80

    def test_of_accounts_are_closed_unless_they_lead_to_one(self, client: Client) -> None:
        accounts = [route for route in routes() if route.path.startswith("/accounts/")]

        is_open = {route.name for route in accounts if not asks_who_it_is(client, route.path)}

        assert is_open <= PUBLIC_ACCOUNT
        assert {"account_login", "account_signup"} <= is_open

    def test_of_the_admin_are_closed(self, client: Client) -> None:
        admin = [route for route in routes() if route.name.startswith("admin:")]

        is_open = {route.name for route in admin if not asks_who_it_is(client, route.path)}

        assert is_open == {"admin:login", "admin:logout"}

    def test_are_all_in_one_of_these_lists(self) -> None:
        known = ("admin:", *OURS)

        others = {
            route.name
            for route in routes()
            if not route.name.startswith(known) and not route.path.startswith("/accounts/")
        }

        assert others <= PUBLIC
