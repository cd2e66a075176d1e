"""What people choose about notices, on pages, by a link in a mail, and by the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts import mail_choices
from marketplace.config.kept_mails import KeepingBackend
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.models import AuditEntry, KeptMail, MailChoice, Notice, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.core.notices import notify
from marketplace.gateway.outbox import mails
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.receiving import SENDER

pytestmark = pytest.mark.django_db


@pytest.fixture
def consumer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


def tell(cast: Cast, key: str, **given: Any) -> Notice:
    values: dict[str, Any] = {"text": f"About {key}.", "at": NOW, "kind": Kind.LIMITS, "path": f"/{key}/"}
    notify([cast.consumer], key=key, **values | given)
    return Notice.objects.get(recipient=cast.consumer, idempotency_key=key)


class TestList:
    def test_is_narrowed_by_kind_state_and_words(self, cast: Cast, consumer: Client) -> None:
        tell(cast, "limits")
        Notice.objects.update(read_at=NOW)
        tell(cast, "bills", kind=Kind.BILLING)

        shown = {
            query: {key for key in ("limits", "bills") if f"About {key}." in consumer.get(f"/notices/?{query}").content.decode()}
            for query in ("", "kind=billing", "state=new", "state=read", "q=about+bills", "kind=nonsense")
        }  # fmt: skip

        assert shown == {
            "": {"limits", "bills"}, "kind=billing": {"bills"}, "state=new": {"bills"}, "state=read": {"limits"},
            "q=about+bills": {"bills"}, "kind=nonsense": {"limits", "bills"},
        }  # fmt: skip

    def test_marks_what_is_ticked_and_comes_back_to_where_it_was(self, cast: Cast, consumer: Client) -> None:
        first, second = tell(cast, "a"), tell(cast, "b")
        notify([cast.stranger], text="Theirs.", at=NOW, key="x")
        theirs = Notice.objects.get(recipient=cast.stranger)
        data = {"notice": [first.pk, theirs.pk, "damaged"], "as": "read", "back": "/notices/?state=new"}

        answer = consumer.post("/notices/mark/", data)

        assert answer.headers["Location"] == "/notices/?state=new"
        assert set(Notice.objects.exclude(read_at=None)) == {first}
        consumer.post("/notices/mark/", {"notice": [first.pk], "as": "new", "back": "//evil.example/"})
        assert not Notice.objects.exclude(read_at=None).exists()
        assert second.read_at is None

    def test_opens_a_notice_and_has_it_read(self, cast: Cast, consumer: Client, client: Client) -> None:
        notice = tell(cast, "a")

        assert consumer.get(f"/notices/{notice.pk}/open/").headers["Location"] == "/a/"
        notice.refresh_from_db()
        assert notice.read_at is not None
        client.force_login(cast.stranger)
        assert client.get(f"/notices/{notice.pk}/open/").status_code == 404

    def test_takes_few_queries(
        self, cast: Cast, consumer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(60):
            tell(cast, str(number))

        with django_assert_max_num_queries(7):
            assert "51" in consumer.get("/notices/").content.decode()


class TestChoices:
    def test_hold_for_the_next_notice(self, cast: Cast, consumer: Client) -> None:
        page = consumer.get("/notices/choices/").content.decode()
        assert "A limit or budget is nearly used up" in page
        chosen = {one.kind: "off" for one in mail_choices.choices_of(cast.consumer)}
        data = {**chosen, "limits": "weekly", "hour": "7", "weekday": "4", "time_zone": "Europe/Berlin"}

        assert consumer.post("/notices/choices/", data).status_code == 302

        assert tell(cast, "a").mail == "weekly"
        assert tell(cast, "b", kind=Kind.BILLING).mail == "off"
        assert not NoticeDelivery.objects.exists()
        assert mail_choices.when_of(cast.consumer) == mail_choices.When("Europe/Berlin", 7, 4)
        assert AuditEntry.objects.get(action="accounts.mail.chosen").new["limits"] == "weekly"

    def test_refuse_what_there_is_not(self, cast: Cast) -> None:
        for cadences in ({"limits": "hourly"}, {"gossip": "daily"}):
            with pytest.raises(InvalidInput):
                mail_choices.choose(cast.consumer, cadences=cadences, at=NOW, by=cast.consumer)
        with pytest.raises(InvalidInput):
            mail_choices.set_time(cast.consumer, when=mail_choices.When("Mars/Olympus"))

    def test_are_one_of_a_kind(self, cast: Cast) -> None:
        row = {"person": cast.consumer, "kind": "limits", "cadence": "off", "changed_at": NOW}
        MailChoice.objects.create(**row)

        with pytest.raises(IntegrityError, match="mail_choice_one_of_a_kind"), transaction.atomic():
            MailChoice.objects.create(**row)


class TestUnsubscribe:
    def test_ends_a_kind_with_one_click_and_without_signing_in(self, cast: Cast) -> None:
        client = Client(enforce_csrf_checks=True)
        path = reverse("accounts:unsubscribe", args=[mail_choices.token_for(cast.consumer, what="limits")])

        assert "Stop these mails" in client.get(path).content.decode()
        assert MailChoice.objects.count() == 0
        answer = client.post(path, {"List-Unsubscribe": "One-Click"})

        assert "These mails come no more" in answer.content.decode()
        assert [(one.kind, one.cadence) for one in MailChoice.objects.all()] == [("limits", "off")]
        assert client.post(path).status_code == 200

    def test_of_a_digest_ends_all_that_is_in_it(self, cast: Cast) -> None:
        mail_choices.choose(cast.consumer, cadences={"limits": "daily"}, at=NOW, by=cast.consumer)

        ended = mail_choices.unsubscribe(
            mail_choices.by_token(mail_choices.token_for(cast.consumer, what="daily")), at=NOW
        )

        assert ended == [
            "Limits and budgets",
            "Catalogue",
            "Usage and prices",
            "Batches and jobs",
            "Everything else",
        ]
        assert "daily" not in {one.cadence for one in mail_choices.choices_of(cast.consumer)}

    def test_knows_no_other_token(self, cast: Cast, client: Client) -> None:
        token = mail_choices.token_for(cast.consumer, what="limits")
        forged = token.replace(f"{cast.consumer.pk}:", f"{cast.stranger.pk}:", 1)

        assert client.post(reverse("accounts:unsubscribe", args=[forged])).status_code == 404
        with pytest.raises(NotFound):
            mail_choices.by_token(mail_choices.token_for(cast.consumer, what="gossip"))


class TestKeptMails:
    def keep(self, cast: Cast) -> KeptMail:
        notice = tell(cast, "a", text="<script>alert(1)</script>")
        assert notice.delivery is not None
        KeepingBackend().send_messages([mails.write(notice.delivery, [notice], sender=SENDER)])
        return KeptMail.objects.get()

    def test_are_shown_to_whom_they_were_for(self, cast: Cast, consumer: Client, settings: Any) -> None:
        settings.DEMO = True
        kept = self.keep(cast)

        assert "&lt;script&gt;" in consumer.get("/notices/mails/").content.decode()
        page = consumer.get(f"/notices/mails/{kept.pk}/").content.decode()
        assert f'src="/notices/mails/{kept.pk}/html/" sandbox' in page
        assert "One-Click" in page
        consumer.force_login(cast.stranger)
        for path in (f"/notices/mails/{kept.pk}/", f"/notices/mails/{kept.pk}/html/"):
            assert consumer.get(path).status_code == 404

    def test_can_do_nothing_in_their_frame(self, cast: Cast, consumer: Client, settings: Any) -> None:
        settings.DEMO = True

        answer = consumer.get(f"/notices/mails/{self.keep(cast).pk}/html/")

        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "<script>" not in answer.content.decode()

    def test_are_there_in_the_demo_world_only(self, cast: Cast, consumer: Client, settings: Any) -> None:
        settings.DEMO = False
        kept = self.keep(cast)

        for path in ("/notices/mails/", f"/notices/mails/{kept.pk}/", f"/notices/mails/{kept.pk}/html/"):
            assert consumer.get(path).status_code == 404


class TestApi:
    def test_lists_and_marks_one_s_own(self, cast: Cast, consumer: Client) -> None:
        notice = tell(cast, "a")
        tell(cast, "b", kind=Kind.BILLING, at=NOW + timedelta(minutes=1))
        notify([cast.stranger], text="Theirs.", at=NOW, key="x")

        (listed,) = consumer.get("/api/v1/notices?kind=limits&unread=true").json()["results"]
        assert (listed["text"], listed["kind"], listed["mail"]) == ("About a.", "limits", "instant")
        body = {"ids": [str(notice.pk)]}
        assert _post(consumer, "/api/v1/notices/mark-read", body).json() == {"changed": 1}
        assert _post(consumer, "/api/v1/notices/mark-unread", body).json() == {"changed": 1}
        assert _post(consumer, "/api/v1/notices/mark-read", {}).json() == {"changed": 2}
        consumer.force_login(cast.stranger)
        assert consumer.get(f"/api/v1/notices/{notice.pk}").status_code == 404
        assert _post(consumer, "/api/v1/notices/mark-unread", body).json() == {"changed": 0}

    def test_shows_and_changes_preferences(self, cast: Cast, consumer: Client) -> None:
        digest = {"time_zone": "Asia/Tokyo", "hour": 9, "weekday": 0}

        answer = _post(
            consumer, "/api/v1/notice-preferences/change", {"mail": {"limits": "daily"}, "digest": digest}
        )

        assert answer.status_code == 200
        shown = consumer.get("/api/v1/notice-preferences").json()
        assert shown["digest"] == digest
        assert {
            "kind": "limits",
            "label": "Limits and budgets",
            "mail": "daily",
            "default": "instant",
        } in shown["kinds"]
        refused = _post(consumer, "/api/v1/notice-preferences/change", {"mail": {"gossip": "daily"}})
        assert refused.status_code == 400
        assert "gossip" in refused.content.decode()


def _post(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, body, content_type="application/json")
