"""Channels on pages and at /api/v1/webhooks: who keeps them, what is refused, what is shown once."""

import logging
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.models import NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.core.notices import notify
from marketplace.gateway.outbox import channels, delivering, keepers
from marketplace.gateway.outbox.posting import Outcome
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.receiving import Answer, Receiver, server
from tests.gateway.test_outbox import LOCAL, URL, make_channel

pytestmark = pytest.mark.django_db


@pytest.fixture
def creator(cast: Cast, client: Client, settings: Any) -> Client:
    settings.EGRESS_ALLOW = LOCAL
    client.force_login(cast.creator)
    return client


def typed(**given: Any) -> dict[str, Any]:
    values = {
        "name": "Alarms",
        "where": "demo/team-ux",
        "sent_as": "webhook",
        "url": URL,
        "kinds": ["limits"],
    }
    return values | given


class TestKeepers:
    def test_are_makers_and_budget_owners_of_a_team_and_operators(self, cast: Cast) -> None:
        channel, _ = make_channel(cast)
        everything, _ = make_channel(cast, name="All", team=None)

        kept = {
            name: {one.name for one in keepers.channels(actor_for(getattr(cast, name)))}
            for name in ("creator", "finance", "operator", "consumer", "approver", "stranger")
        }

        assert kept == {
            "creator": {"Alarms"}, "finance": {"Alarms"}, "operator": {"Alarms", "All"},
            "consumer": set(), "approver": set(), "stranger": set(),
        }  # fmt: skip
        assert set(keepers.keepers_of(channel)) == {cast.creator, cast.finance}
        assert set(keepers.keepers_of(everything)) == {cast.creator, cast.operator}

    def test_may_set_up_for_their_places_only(self, cast: Cast) -> None:
        assert [one.key for one in keepers.places(actor_for(cast.creator))] == ["demo/team-ux"]
        assert keepers.places(actor_for(cast.consumer)) == []
        assert {one.key for one in keepers.places(actor_for(cast.stranger))} == {"other", "other/strangers"}


class TestAdd:
    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example.com/x", "https://127.0.0.1/x", "https://169.254.169.254/latest", "https://10.0.0.1/x",
            "https://[::1]/x", "https://chat.internal/x", "https://user:secret@hooks.example.com/", "ftp://x.example/", "nonsense",
        ],
    )  # fmt: skip
    def test_refuses_addresses_that_may_not_be_called(self, cast: Cast, url: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            make_channel(cast, url=url)

        assert refused.value.field == "url"

    def test_refuses_a_name_that_is_taken_and_kinds_that_are_none(self, cast: Cast) -> None:
        make_channel(cast)

        with pytest.raises(Conflict):
            make_channel(cast)
        for kinds in ([], ["gossip"]):
            with pytest.raises(InvalidInput):
                make_channel(cast, name="Others", kinds=kinds)

    def test_has_room_for_twenty(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channels, "MOST_OF_A_PLACE", 1)
        make_channel(cast)

        with pytest.raises(InvalidInput):
            make_channel(cast, name="One more")


class TestPages:
    def test_set_one_up_and_show_its_secret_once(self, cast: Cast, creator: Client) -> None:
        page = creator.post("/notices/channels/add/", typed()).content.decode()

        channel = NoticeChannel.objects.get()
        secret = channels.unseal(channel.secret_sealed)
        assert secret in page
        for path in (
            "/notices/channels/",
            f"/notices/channels/{channel.pk}/",
            f"/notices/channels/{channel.pk}/change/",
        ):
            shown = creator.get(path).content.decode()
            assert "Alarms" in shown
            assert secret not in shown and "T0PSECRET" not in shown

    def test_put_what_is_refused_beside_its_field(self, cast: Cast, creator: Client) -> None:
        page = creator.post("/notices/channels/add/", typed(url="https://10.0.0.1/x")).content.decode()

        assert "it leads into a private network" in page
        assert (
            "Select a valid choice"
            in creator.post("/notices/channels/add/", typed(where="demo/team-ops")).content.decode()
        )
        assert not NoticeChannel.objects.exists()

    def test_test_it_and_show_the_answer_at_once(self, cast: Cast, creator: Client, settings: Any) -> None:
        with server(Answer(200, b"welcome")) as (host, came):
            settings.EGRESS_ALLOW = [host]
            channel, _ = make_channel(cast, url=f"http://{host}/hook", allowed=[host])
            page = creator.post(f"/notices/channels/{channel.pk}/test/").content.decode()

        assert "The test was taken" in page and "welcome" in page
        delivery = NoticeDelivery.objects.get(is_test=True)
        assert came[0]["webhook-id"] == str(delivery.pk)
        assert delivery.state == "delivered"

    def test_say_when_a_test_fails_and_do_not_repeat_it(self, cast: Cast, creator: Client) -> None:
        channel, _ = make_channel(cast)

        page = creator.post(f"/notices/channels/{channel.pk}/test/").content.decode()

        assert "could not be reached" in page
        assert NoticeDelivery.objects.get(is_test=True).state == "failed"

    def test_show_every_attempt_and_send_again(self, cast: Cast, creator: Client) -> None:
        channel, _ = make_channel(cast)
        notify([], text="80 % is used.", at=NOW, key="a", kind=Kind.LIMITS, team=cast.creator_team)
        delivering.deliver(at=NOW, way=Receiver(Outcome(7, 410, "answered 410", "<b>moved</b>")).way)

        page = creator.get(f"/notices/channels/{channel.pk}/").content.decode()
        assert "410, 7 ms" in page and "&lt;b&gt;moved&lt;/b&gt;" in page and "Switched off" in page
        creator.post(f"/notices/channels/{channel.pk}/state/", {"to": "active"})
        delivery = NoticeDelivery.objects.get(channel=channel)
        creator.post(f"/notices/channels/{channel.pk}/again/{delivery.pk}/")

        delivery.refresh_from_db()
        assert (delivery.state, delivery.attempts) == ("queued", 0)

    def test_change_pause_rotate_and_remove(self, cast: Cast, creator: Client) -> None:
        channel, old = make_channel(cast)
        path = f"/notices/channels/{channel.pk}/"

        creator.post(f"{path}change/", {"name": "Budgets", "url": "", "kinds": ["limits", "billing"]})
        creator.post(f"{path}state/", {"to": "paused"})
        channel.refresh_from_db()
        assert (channel.name, channel.kinds, channel.state) == ("Budgets", ["limits", "billing"], "paused")
        assert channels.unseal(channel.url_sealed) == URL
        page = creator.post(f"{path}rotate/").content.decode()
        channel.refresh_from_db()
        assert channels.unseal(channel.secret_sealed) in page and old not in page
        assert "Remove Budgets?" in creator.get(f"{path}remove/").content.decode()
        creator.post(f"{path}remove/")
        assert not NoticeChannel.objects.exists()

    def test_are_closed_to_strangers_and_to_who_keeps_none(self, cast: Cast, creator: Client) -> None:
        channel, _ = make_channel(cast)
        notify([], text="x", at=NOW, key="a", kind=Kind.LIMITS, team=cast.creator_team)
        delivery = NoticeDelivery.objects.get()
        path = f"/notices/channels/{channel.pk}/"

        for person in (cast.stranger, cast.consumer):
            creator.force_login(person)
            assert "Alarms" not in creator.get("/notices/channels/").content.decode()
            for one in (path, f"{path}change/", f"{path}remove/"):
                assert creator.get(one).status_code == 404
            for one in ("test/", "rotate/", "state/", "remove/", f"again/{delivery.pk}/"):
                assert creator.post(f"{path}{one}").status_code == 404
        assert creator.get("/notices/channels/add/").status_code == 403

    def test_take_few_queries(
        self, cast: Cast, creator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        channel, _ = make_channel(cast)
        for number in range(30):
            notify([], text="x", at=NOW, key=str(number), kind=Kind.LIMITS, team=cast.creator_team)
        delivering.deliver(at=NOW, way=Receiver().way)

        with django_assert_max_num_queries(9):
            creator.get("/notices/channels/")
        with django_assert_max_num_queries(9):
            creator.get(f"/notices/channels/{channel.pk}/")


class TestApi:
    def test_sets_up_tests_rotates_and_removes(self, cast: Cast, creator: Client) -> None:
        body = {"name": "Alarms", "organization": "demo", "team": "team-ux", "form": "webhook", "url": URL, "kinds": ["limits"]}  # fmt: skip

        answer = creator.post("/api/v1/webhooks", body, content_type="application/json")

        assert answer.status_code == 201 and answer.headers["Cache-Control"] == "no-store"
        made = answer.json()
        assert made["secret"].startswith("whsec_") and "url" not in made
        path = f"/api/v1/webhooks/{made['id']}"
        assert "secret" not in creator.get(path).json()
        assert creator.post(f"{path}/test").json()["trouble"] == "could not be reached"
        assert creator.post(f"{path}/rotate").json()["secret"] != made["secret"]
        assert (
            creator.patch(path, {"name": "Budgets"}, content_type="application/json").json()["name"]
            == "Budgets"
        )
        assert creator.post(f"{path}/pause").json()["state"] == "paused"
        assert creator.post(f"{path}/pause").status_code == 409
        assert creator.post(f"{path}/resume").json()["state"] == "active"
        (tested,) = creator.get(f"{path}/deliveries").json()["results"]
        assert tested["is_test"] and tested["log"][0]["trouble"] == "could not be reached"
        again = creator.post(f"{path}/deliveries/{tested['id']}/redeliver")
        assert (again.status_code, again.json()["state"]) == (202, "queued")
        assert creator.delete(path).status_code == 204

    def test_refuses_private_addresses_by_field(self, cast: Cast, creator: Client) -> None:
        body = {"name": "x", "organization": "demo", "team": "team-ux", "form": "slack", "url": "https://10.0.0.1/", "kinds": ["limits"]}  # fmt: skip

        answer = creator.post("/api/v1/webhooks", body, content_type="application/json")

        assert answer.status_code == 400
        assert "private network" in answer.content.decode()

    def test_knows_nothing_for_strangers(self, cast: Cast, creator: Client) -> None:
        channel, _ = make_channel(cast)
        creator.force_login(cast.stranger)
        path = f"/api/v1/webhooks/{channel.pk}"

        assert creator.get("/api/v1/webhooks").json()["results"] == []
        assert creator.get(path).status_code == creator.delete(path).status_code == 404
        for step in ("test", "rotate", "pause", "resume"):
            assert creator.post(f"{path}/{step}").status_code == 404
        assert creator.get(f"{path}/deliveries").status_code == 404
        body = {"name": "x", "organization": "demo", "form": "webhook", "url": URL, "kinds": ["limits"]}
        assert creator.post("/api/v1/webhooks", body, content_type="application/json").status_code == 404


class TestLogs:
    def test_hold_no_secret(self, cast: Cast, creator: Client, caplog: pytest.LogCaptureFixture) -> None:
        channel, secret = make_channel(cast)

        with caplog.at_level(logging.DEBUG):
            creator.post(f"/notices/channels/{channel.pk}/test/")

        assert secret not in caplog.text and "T0PSECRET" not in caplog.text
