"""What `up` tells the programs that it starts."""

import pytest

from marketplace.config.cli.up import parse
from marketplace.config.launch import shared_environment

TOLD = ("DEBUG", "DEMO", "SECURE_COOKIES", "HALFPENNY_HASHED_STATIC", "HALFPENNY_PUBLIC_URL", "ALLOWED_HOSTS")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TOLD:
        monkeypatch.delenv(name, raising=False)


def told(*arguments: str) -> tuple[str, ...]:
    found = shared_environment(parse(list(arguments)))
    return tuple(found[name] for name in TOLD[:4])


class TestSharedEnvironment:
    def test_is_that_of_a_finished_product_with_its_demo(self) -> None:
        # no debug, the demo, cookies over plain http, hashed files
        assert told() == ("0", "1", "0", "1")

    def test_has_no_demo_when_it_begins_empty(self) -> None:
        assert told("--empty") == ("0", "0", "0", "1")

    def test_is_for_developers_when_they_ask(self) -> None:
        assert told("--debug") == ("1", "1", "0", "0")

    def test_keeps_cookies_to_https_where_there_is_https(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HALFPENNY_PUBLIC_URL", "https://apps.example.com")

        assert told("--empty") == ("0", "0", "1", "1")

    def test_lets_the_environment_decide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEBUG", "true")
        monkeypatch.setenv("SECURE_COOKIES", "true")

        assert told() == ("true", "1", "true", "1")
