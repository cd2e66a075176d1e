"""Setting how calls are saved, forgetting what is kept, and seeing what it came to: page and API."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput
from marketplace.core.models import AuditEntry
from marketplace.gateway.caching import changing, store
from marketplace.gateway.caching.changing import SavingFacts
from marketplace.gateway.caching.entries import Entry
from marketplace.gateway.caching.keys import Scope
from marketplace.gateway.saving_models import CachedAnswer, CallSaving
from metering import ingest, saved_usage
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.rating import Quantities
from metering.reported import Rejection, decode
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import app, make_usage, who

pytestmark = pytest.mark.django_db

__all__ = ["app", "who"]
FORM = {"ttl_s": "600", "similar_threshold": "0.950"}


def page(app: App, name: str = "gateway:saving") -> str:
    return reverse(name, args=[app.slug])


def api(app: App, rest: str = "") -> str:
    return f"/api/v1/call-savings/{app.slug}{rest}"


def save_one(who: Dimensions, event_id: str, *, by: str, cost: str, tokens: int, **fields: Any) -> None:
    tags = saved_usage.tags(by=by, saved_cost=cost, input_tokens=tokens, output_tokens=1)
    ingest.record(
        [make_usage(who, event_id, quantities=Quantities(), tags=tags, **fields)], at=timezone.now()
    )


class TestPage:
    def test_saves_how_calls_are_saved(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.creator)

        answer = client.post(page(app), FORM | {"is_batchable": "on"})

        assert answer.status_code == 302
        saving = CallSaving.objects.get(app=app)
        assert (saving.ttl_s, saving.any_temperature, saving.is_batchable) == (600, False, True)
        assert (saving.similar, saving.changed_by) == ("off", cast.creator)
        assert AuditEntry.objects.get(action="gateway.call_saving.changed").new["ttl_s"] == 600

    def test_shows_what_was_saved_by_means(
        self, cast: Cast, app: App, who: Dimensions, client: Client, django_assert_max_num_queries: Any
    ) -> None:
        today = timezone.now() - timedelta(seconds=5)
        save_one(who, "a", by="cache", cost="0.0125", tokens=99, at=today)
        save_one(who, "b", by="cache", cost="0.0025", tokens=49, at=today)
        save_one(who, "c", by="batch", cost="0.0010", tokens=9, at=today)
        ingest.record([make_usage(who, "d", at=today)], at=timezone.now())
        client.force_login(cast.creator)

        with django_assert_max_num_queries(12):
            text = client.get(page(app)).content.decode()

        # 0.0125 + 0.0025 + 0.0010; tokens 100 + 50 + 10, each with one of output.
        assert "$0.016" in text
        assert ">160<" in text.replace(" ", "")
        assert "Packed together" in text
        assert "Similar question" not in text

    def test_forgets_what_is_kept(self, cast: Cast, app: App, client: Client) -> None:
        CallSaving.objects.create(app=app, ttl_s=600, changed_at=NOW)
        keep_one(app, cast)
        client.force_login(cast.creator)

        client.post(page(app, "gateway:saving-purge"))

        assert not CachedAnswer.objects.exists()
        assert CallSaving.objects.get().generation == 2

    def test_says_why_similar_questions_are_off_without_the_extension(
        self, cast: Cast, app: App, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("marketplace.gateway.caching.similar.can_compare", lambda: False)
        client.force_login(cast.creator)

        shown = client.get(page(app)).content.decode()
        refused = client.post(page(app), FORM | {"compares": "on"}).content.decode()

        assert "no extension named vector" in shown
        assert "CREATE EXTENSION vector" in refused
        assert not CallSaving.objects.exists()

    def test_is_open_to_operators_and_unknown_to_strangers(
        self, cast: Cast, app: App, client: Client
    ) -> None:
        for person, status in ((cast.operator, 200), (cast.stranger, 404), (cast.consumer, 404)):
            client.force_login(person)
            assert client.get(page(app)).status_code == status
            purged = client.post(page(app, "gateway:saving-purge"))
            assert purged.status_code == (302 if status == 200 else 404)


class TestApi:
    def test_sets_shows_and_forgets(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.creator)

        changed = client.patch(api(app), {"ttl_s": 300}, content_type="application/json")
        again = client.patch(api(app), {"is_batchable": True}, content_type="application/json")
        purged = client.post(api(app, "/purge"))

        assert changed.json() == {
            "app": "where2eat", "ttl_s": 300, "any_temperature": False, "compares": False, "similar": "off",
            "similar_threshold": "0.950", "is_batchable": False, "trials": 0, "wrong": 0,
            "wrong_rate_high": "1.0000",
        }  # fmt: skip
        assert (again.json()["ttl_s"], again.json()["is_batchable"]) == (300, True)
        assert purged.json() == {"answers": 0}

    def test_sums_what_was_saved_by_day(self, cast: Cast, app: App, who: Dimensions, client: Client) -> None:
        today = timezone.now() - timedelta(seconds=5)
        save_one(who, "a", by="cache", cost="0.000000000000000001", tokens=99, at=today)
        client.force_login(cast.creator)

        [row] = client.get(api(app, "/saved")).json()

        assert (row["by"], row["calls"], row["tokens"]) == ("cache", 1, 100)
        assert row["cost"] == "0.000000000000000001"

    @pytest.mark.parametrize(
        ("given", "field"),
        [({"ttl_s": 299}, "ttl_s"), ({"ttl_s": 1801}, "ttl_s"), ({"compares": True}, "compares"),
         ({"ttl_s": 300, "similar_threshold": "0.799"}, "similar_threshold")],
    )  # fmt: skip
    def test_names_what_cannot_be(
        self, cast: Cast, app: App, client: Client, given: dict[str, Any], field: str
    ) -> None:
        client.force_login(cast.creator)

        answer = client.patch(api(app), given, content_type="application/json")

        assert answer.status_code == 400
        assert field in str(answer.json()["errors"])

    def test_is_unknown_to_strangers(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.stranger)

        assert client.get(api(app)).status_code == 404
        assert client.get(api(app, "/saved")).status_code == 404
        assert client.post(api(app, "/purge")).status_code == 404
        assert client.patch(api(app), {}, content_type="application/json").status_code == 404


class TestChange:
    def test_measures_anew_when_questions_may_be_less_alike(self, cast: Cast, app: App) -> None:
        def change(threshold: str, *, hours: int) -> CallSaving:
            facts = SavingFacts(600, compares=True, similar_threshold=Decimal(threshold))
            return changing.change(app, facts=facts, by=cast.creator, at=NOW + timedelta(hours=hours))

        change("0.95", hours=0)
        CallSaving.objects.update(similar="serving")

        assert change("0.97", hours=1).similar == "serving"
        assert CallSaving.objects.get().similar_since == NOW
        assert change("0.96", hours=2).similar == "measuring"
        assert CallSaving.objects.get().similar_since == NOW + timedelta(hours=2)

    def test_refuses_an_app_that_runs_elsewhere(self, cast: Cast, app: App) -> None:
        App.objects.filter(pk=app.pk).update(kind="http")
        app.refresh_from_db()

        with pytest.raises(InvalidInput) as caught:
            changing.change(app, facts=SavingFacts(600), by=cast.creator, at=NOW)

        assert caught.value.field == "ttl_s"


class TestStore:
    def test_seals_what_it_keeps(self, cast: Cast, app: App) -> None:
        keep_one(app, cast)

        row = CachedAnswer.objects.get()

        assert "secret" not in row.sealed
        found = store.find(b"k" * 32, at=NOW)
        assert found is not None
        assert found[0].body == b'{"secret": 1}'

    def test_deletes_what_has_expired(self, cast: Cast, app: App) -> None:
        keep_one(app, cast)

        assert store.purge_expired(at=NOW + timedelta(seconds=599)) == 0
        assert store.find(b"k" * 32, at=NOW + timedelta(seconds=600)) is None
        assert store.purge_expired(at=NOW + timedelta(seconds=600)) == 1

    def test_takes_one_that_cannot_be_opened_for_none(self, cast: Cast, app: App) -> None:
        keep_one(app, cast)
        CachedAnswer.objects.update(sealed="sealed with another key")

        assert store.find(b"k" * 32, at=NOW) is None


class TestReports:
    def test_may_not_say_that_they_saved_something(self) -> None:
        [told] = decode(b'{"app_id": "where2eat", "tags": {"halfpenny.saved_by": "me"}}')

        assert isinstance(told, Rejection)
        assert not UsageEvent.objects.exists()


def keep_one(app: App, cast: Cast) -> None:
    scope = Scope(cast.company.pk, app.pk, 1, "production", 1, "llm-8b", 1)
    store.keep(
        b"k" * 32, scope, Entry(b'{"secret": 1}', 1, 1), at=NOW, expires_at=NOW + timedelta(seconds=600)
    )
