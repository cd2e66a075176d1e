"""Testing the connection to a provider: what an operator reads, for each thing that can be wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from marketplace.gateway import background, connection_tests, offering
from marketplace.gateway.models import Provider
from marketplace.gateway.offering import ProviderFacts, SetKey
from metering.models import LanguageModel
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.conftest import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def end_of_the_loop() -> Iterator[None]:
    yield
    background.close()


def tried(
    cast: Cast,
    base_url: str,
    *,
    kind: str = "openai",
    key: str = "",
    with_call: bool = False,
    there: str = "llm-8b",
) -> list[tuple[str, str]]:
    if not LanguageModel.objects.exists():
        factories.make_model("small")
    provider = offering.add_provider(
        "tried",
        facts=ProviderFacts("Tried", base_url, kind=kind),
        key=SetKey(key),
        offers={"small": there},
        by=cast.operator,
        at=NOW,
    )
    findings = connection_tests.test_connection(provider, offers={"small": there}, with_call=with_call)
    return [(one.tone, f"{one.title}. {one.text}") for one in findings]


class TestConnection:
    @pytest.mark.parametrize(
        ("kind", "path"), [("openai", "/v1"), ("anthropic", "/v1"), ("gemini", "/v1beta")]
    )
    def test_lists_models_and_calls_one_in_every_protocol(
        self, cast: Cast, demo_provider: str, kind: str, path: str
    ) -> None:
        listed, called = tried(cast, demo_provider + path, kind=kind, with_call=True)

        assert listed[0] == "ok" and "It lists 6 models." in listed[1]
        assert called[0] == "ok" and "small answered in" in called[1] and "as it reports" in called[1]

    def test_names_models_that_are_not_known_there(self, cast: Cast, demo_provider: str) -> None:
        answered, missing = tried(cast, f"{demo_provider}/v1", there="llm-8bb")

        assert answered[0] == "ok"
        assert missing[0] == "warn" and "llm-8bb: not in its list" in missing[1]

    def test_tells_a_wrong_key_from_a_right_one(self, cast: Cast, guarded_demo_provider: str) -> None:
        ((tone, text),) = tried(cast, f"{guarded_demo_provider}/v1", key="wrong")
        assert tone == "danger" and "It does not accept the key (401)" in text and "Set the key again" in text

        Provider.objects.all().delete()
        ((tone, text),) = tried(cast, f"{guarded_demo_provider}/v1", key="demo-secret")
        assert tone == "ok" and "took the key" in text

    def test_says_that_nobody_listens(self, cast: Cast) -> None:
        ((tone, text),) = tried(cast, f"http://127.0.0.1:{free_port()}/v1", with_call=True)

        assert tone == "danger" and "It cannot be reached" in text and "name and port" in text

    def test_says_that_the_address_is_wrong(self, cast: Cast, demo_provider: str) -> None:
        listed, called = tried(cast, f"{demo_provider}/v2", with_call=True)

        assert listed[0] == "warn" and f"There is no list of models at {demo_provider}/v2/models" in listed[1]
        assert called[0] == "danger" and "refuses a plain request (404)" in called[1]


class TestPage:
    def test_shows_what_was_found_and_no_key(self, cast: Cast, client: Client, demo_provider: str) -> None:
        facts: Any = ProviderFacts("Demo", f"{demo_provider}/v1")
        offering.add_provider("demo", facts=facts, key=SetKey("sk-4711"), offers={}, by=cast.operator, at=NOW)
        client.force_login(cast.operator)

        page = client.post("/operator/providers/demo/test/").content.decode()

        assert "and took the key" in page and "It lists 6 models." in page
        assert "sk-4711" not in page
