"""Providers as operators set them: domain, pages, and what the router makes of them."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.core import audit
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import InvalidInput
from marketplace.core.models import AuditEntry
from marketplace.gateway import offering, operations, sealing
from marketplace.gateway.models import Provider
from marketplace.gateway.offering import KEEP, KeyChange, ProviderExists, ProviderFacts, SetKey
from marketplace.gateway.offers import endpoint_of, key_of, load_offer_book
from metering.models import LanguageModel
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

FACTS = ProviderFacts(title="OpenAI", base_url="https://api.openai.com/v1")
SECRET = "sk-very-secret-4711"
BUDGET = 12


@pytest.fixture
def models(db: None) -> dict[str, LanguageModel]:
    return {name: factories.make_model(name) for name in ("big", "small")}


def add(
    cast: Cast, *, name: str = "openai", key: KeyChange = KEEP, offers: dict[str, str] | None = None
) -> Provider:
    return offering.add_provider(name, facts=FACTS, key=key, offers=offers or {}, by=cast.operator, at=NOW)


def form_data(models: dict[str, LanguageModel], **fields: Any) -> dict[str, Any]:
    """Fill the form as a browser sends it, offering the model ``small`` under a name of its own."""
    return {
        "name": "openai",
        "title": "OpenAI",
        "base_url": "https://api.openai.com/v1/",
        "kind": "anthropic",
        "timeout_s": "60",
        "connect_timeout_s": "3",
        "first_byte_timeout_s": "20",
        "idle_timeout_s": "10",
        "is_active": "on",
        f"offer-{models['small'].pk}": "on",
        f"upstream-{models['small'].pk}": "small-2026",
    } | fields


class TestSealing:
    def test_gives_back_what_was_sealed_and_shows_nothing_of_it(self) -> None:
        sealed = sealing.seal(SECRET)

        assert SECRET not in sealed
        assert sealing.unseal(sealed) == SECRET

    def test_opens_what_an_earlier_secret_key_sealed(self, settings: Any) -> None:
        sealed = sealing.seal(SECRET)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another"

        assert sealing.unseal(sealed) == SECRET

    def test_does_not_open_under_another_secret_key(self, settings: Any) -> None:
        sealed = sealing.seal(SECRET)
        settings.SECRET_KEY = "another"

        with pytest.raises(sealing.CannotOpen):
            sealing.unseal(sealed)


class TestAddProvider:
    def test_offers_its_models_to_the_router_at_once(
        self, cast: Cast, models: dict[str, LanguageModel]
    ) -> None:
        before = read_epochs().get(DIRECTORY, 0)

        add(cast, key=SetKey(SECRET), offers={"small": "small-2026", "big": ""})

        book = load_offer_book()
        named = {(offer.model, offer.provider, offer.upstream_name) for offer in book.offers(at=NOW)}
        assert named == {("small", "openai", "small-2026"), ("big", "openai", "big")}
        assert book.endpoints["openai"].api_key == SECRET
        assert read_epochs()[DIRECTORY] > before

    def test_tells_the_audit_trail_everything_but_the_key(self, cast: Cast) -> None:
        provider = add(cast, key=SetKey(SECRET))

        (entry,) = audit.history(provider)
        assert (entry.action, entry.actor, entry.new["key"]) == (
            "gateway.provider.added",
            cast.operator,
            "set",
        )
        assert SECRET not in str(entry.new)

    def test_refuses_a_name_that_is_taken(self, cast: Cast) -> None:
        add(cast)

        with pytest.raises(ProviderExists):
            add(cast)

    @pytest.mark.parametrize(
        "url", ["ftp://a/v1", "api.openai.com", "https://me:pw@a/v1", "https://a/v1?x=1"]
    )
    def test_refuses_what_is_no_plain_address(self, cast: Cast, url: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            offering.add_provider(
                "x", facts=ProviderFacts("X", url), key=KEEP, offers={}, by=cast.operator, at=NOW
            )

        assert refused.value.field == "base_url"

    def test_refuses_models_that_the_catalogue_has_not(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput):
            add(cast, offers={"unknown": ""})

        assert not Provider.objects.exists()


class TestChangeProvider:
    def change(self, cast: Cast, provider: Provider, **changes: Any) -> None:
        values = {"facts": FACTS, "key": KEEP, "offers": {}} | changes
        offering.change_provider(provider, **values, by=cast.operator, at=NOW)

    def test_keeps_the_key_unless_another_is_given(self, cast: Cast) -> None:
        provider = add(cast, key=SetKey(SECRET))

        self.change(cast, provider)
        assert key_of(Provider.objects.get()) == SECRET

        self.change(cast, provider, key=SetKey("another"))
        assert key_of(Provider.objects.get()) == "another"

        self.change(cast, provider, key=SetKey(""))
        assert key_of(Provider.objects.get()) == ""

    def test_switches_off_what_is_not_offered_any_more_and_on_again(
        self, cast: Cast, models: dict[str, LanguageModel]
    ) -> None:
        provider = add(cast, offers={"small": "", "big": ""})

        self.change(cast, provider, offers={"big": "big-2"})
        assert offering.offers_of(provider) == {"big": "big-2"}
        assert {offer.model for offer in load_offer_book().offers(at=NOW)} == {"big"}

        self.change(cast, provider, offers={"small": "", "big": "big-2"})
        assert offering.offers_of(provider) == {"big": "big-2", "small": "small"}

    def test_writes_old_and_new_to_the_audit_trail(
        self, cast: Cast, models: dict[str, LanguageModel]
    ) -> None:
        provider = add(cast, offers={"small": ""})

        self.change(
            cast, provider, facts=ProviderFacts("Renamed", "http://10.0.0.5:8000/v1"), key=SetKey("s")
        )

        entry = audit.history(provider)[-1]
        assert (entry.old["title"], entry.new["title"]) == ("OpenAI", "Renamed")
        assert (entry.old["offers"], entry.new["offers"]) == ({"small": "small"}, {})
        assert entry.new["key"] == "set"


class TestKey:
    def test_comes_from_the_environment_when_none_is_stored(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provider = add(cast)
        provider.api_key_variable = "SOME_PROVIDER_KEY"

        assert (key_of(provider), operations.key_state(provider).name) == ("", "VARIABLE_EMPTY")

        monkeypatch.setenv("SOME_PROVIDER_KEY", "from-outside")
        assert (key_of(provider), operations.key_state(provider).name) == ("from-outside", "VARIABLE")

    def test_that_cannot_be_opened_is_none_and_does_not_stop_the_others(
        self, cast: Cast, models: dict[str, LanguageModel], settings: Any
    ) -> None:
        add(cast, key=SetKey(SECRET), offers={"small": ""})
        settings.SECRET_KEY = "another"

        assert load_offer_book().endpoints["openai"].api_key == ""
        assert operations.key_state(Provider.objects.get()).name == "UNREADABLE"


class TestPages:
    @pytest.mark.parametrize(
        "path", ["/operator/providers/", "/operator/add-provider/", "/operator/providers/openai/"]
    )
    def test_are_for_operators_of_the_platform_only(self, cast: Cast, client: Client, path: str) -> None:
        add(cast)
        for person in (cast.consumer, cast.creator, cast.finance, cast.approver, cast.stranger):
            client.force_login(person)
            assert client.get(path).status_code == 403
            assert client.post(path, {"title": "Mine"}).status_code in (403, 405)
        client.force_login(cast.operator)
        assert client.get(path).status_code == 200
        assert Provider.objects.get().title == "OpenAI"

    def test_add_a_provider(self, cast: Cast, client: Client, models: dict[str, LanguageModel]) -> None:
        client.force_login(cast.operator)

        answer = client.post("/operator/add-provider/", form_data(models, api_key=SECRET))

        assert (answer.status_code, answer.headers["Location"]) == (302, "/operator/providers/")
        provider = Provider.objects.get()
        assert (provider.kind, provider.base_url) == ("anthropic", "https://api.openai.com/v1")
        endpoint = endpoint_of(provider)
        assert (endpoint.timeout_s, endpoint.connect_timeout_s) == (60, 3)
        assert (endpoint.first_byte_timeout_s, endpoint.idle_timeout_s) == (20, 10)
        assert provider.key_set_at is not None
        assert key_of(provider) == SECRET
        assert offering.offers_of(provider) == {"small": "small-2026"}
        listed = client.get("/operator/providers/").content.decode()
        assert "OpenAI is added" in listed and "Stored" in listed

    def test_never_show_a_stored_key(
        self, cast: Cast, client: Client, models: dict[str, LanguageModel]
    ) -> None:
        provider = add(cast, key=SetKey(SECRET))
        client.force_login(cast.operator)

        pages = [client.get(path) for path in ("/operator/providers/", "/operator/providers/openai/")]
        # Also not after a mistake, with the new key that was typed.
        pages.append(client.post("/operator/providers/openai/", {"api_key": SECRET, "title": ""}))

        for page in pages:
            assert page.status_code == 200
            assert SECRET not in page.content.decode()
            assert provider.api_key_sealed not in page.content.decode()

    def test_change_a_provider_and_keep_its_key(
        self, cast: Cast, client: Client, models: dict[str, LanguageModel]
    ) -> None:
        add(cast, key=SetKey(SECRET))
        client.force_login(cast.operator)

        client.post("/operator/providers/openai/", form_data(models, title="Renamed", is_active=""))

        provider = Provider.objects.get()
        assert (provider.title, provider.is_active, key_of(provider)) == ("Renamed", False, SECRET)
        assert AuditEntry.objects.filter(action="gateway.provider.changed", actor=cast.operator).count() == 1

    def test_remove_a_key(self, cast: Cast, client: Client, models: dict[str, LanguageModel]) -> None:
        add(cast, key=SetKey(SECRET))
        client.force_login(cast.operator)

        client.post("/operator/providers/openai/", form_data(models, remove_key="on"))

        assert Provider.objects.get().api_key_sealed == ""

    def test_say_what_is_wrong_beside_the_field(
        self, cast: Cast, client: Client, models: dict[str, LanguageModel]
    ) -> None:
        add(cast)
        client.force_login(cast.operator)

        taken = client.post("/operator/add-provider/", form_data(models))
        bad = client.post("/operator/add-provider/", form_data(models, name="other", base_url="ftp://a"))

        assert "There is a provider &#x27;openai&#x27; already" in taken.content.decode()
        assert "must be an address such as" in bad.content.decode()

    def test_keep_to_their_budget_of_queries(
        self,
        cast: Cast,
        client: Client,
        models: dict[str, LanguageModel],
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for number in range(8):
            add(cast, name=f"p{number}", offers={"small": "", "big": ""})
        client.force_login(cast.operator)

        for path in ("/operator/providers/", "/operator/providers/p1/"):
            with django_assert_max_num_queries(BUDGET):
                assert client.get(path).status_code == 200

    def test_lead_there_from_today_when_there_is_none(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        page = client.get("/operator/").content.decode()

        assert 'href="/operator/add-provider/"' in page
        assert "administration" not in page
