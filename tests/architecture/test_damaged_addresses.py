"""Whatever somebody types into an address is answered: not found, refused or ignored, never broken."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.conftest import Cast

OURS = ("accounts", "api", "billing", "catalog", "gateway", "meter", "metering", "quotas")
DAMAGED = ("no-such-thing", "%00", "9" * 40, "2026-13")
PART = re.compile(r"\(\?P<(\w+)>")
FILTERS = (
    "page", "cursor", "q", "app", "team", "cost_center", "subscription", "key", "model", "state", "days", "first",
    "last", "from", "to", "group_by", "granularity", "calls", "person", "owner_kind", "owner_id", "number", "month",
    "currency", "environment", "owner", "kind", "limit", "by", "plan", "category", "sort",
)  # fmt: skip


def addresses(damaged: str) -> Iterator[str]:
    """Give the address of every route of ours, each variable part damaged."""
    for pattern, prefix in _patterns(get_resolver().url_patterns, "/"):
        path = prefix + _template(pattern)
        yield re.sub(r"\{\w+\}", damaged, path)


def _patterns(patterns: list[Any], prefix: str, *, is_ours: bool = False) -> Iterator[tuple[URLPattern, str]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            ours = is_ours or pattern.namespace in OURS
            yield from _patterns(pattern.url_patterns, prefix + _template(pattern), is_ours=ours)
        elif is_ours:
            yield pattern, prefix


def _template(pattern: Any) -> str:
    """Write a pattern with {name} for each of its parts."""
    text = str(pattern.pattern)
    text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", text) if not PART.search(text) else text
    text = re.sub(r"\(\?P<(\w+)>(?:[^()\[\]]|\[[^\]]*\]|\([^)]*\))*\)", r"{\1}", text)
    return text.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\.", ".").replace("/?", "")


@pytest.fixture
def client(cast: Cast) -> Client:
    """A browser of somebody who may see everything, so that nothing is refused before it is looked up."""
    cast.operator.is_superuser = True
    cast.operator.save()
    browser = Client(raise_request_exception=False)
    browser.force_login(cast.operator)
    return browser


@pytest.mark.slow
class TestPaths:
    @pytest.mark.parametrize("damaged", DAMAGED)
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_that_lead_nowhere_are_answered(self, client: Client, damaged: str, method: str) -> None:
        asked = list(addresses(damaged))
        assert len(asked) > 90

        broken = [path for path in asked if getattr(client, method)(path).status_code >= 500]

        assert broken == []


@pytest.mark.slow
class TestFilters:
    @pytest.mark.parametrize("damaged", ["%00", "9" * 40])
    def test_that_mean_nothing_are_answered(self, client: Client, damaged: str) -> None:
        query = "&".join(f"{name}={damaged}" for name in FILTERS)
        asked = [f"{path}?{query}" for path in addresses("where2eat") if "where2eat" not in path]
        assert len(asked) > 30

        broken = [path for path in asked if client.get(path).status_code >= 500]

        assert broken == []
