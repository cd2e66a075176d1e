"""From a notice to who receives it: written with it, sent at least once, tried again, given up."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction

from marketplace.accounts import mail_choices
from marketplace.core.errors import Conflict
from marketplace.core.models import DeliveryAttempt, Notice, NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import ABOUT, Kind
from marketplace.core.notices import notify
from marketplace.gateway.outbox import channels, delivering, retrying
from marketplace.gateway.outbox.channels import ChannelFacts
from marketplace.gateway.outbox.keepers import Place
from marketplace.gateway.outbox.posting import Outcome
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.receiving import Receiver, is_signed

pytestmark = pytest.mark.django_db
GUIDE = Path(__file__).parents[2] / "docs/guides/notices.md"
LOCAL = ["127.0.0.1:9"]
URL = "http://127.0.0.1:9/hooks/T0PSECRET"


def make_channel(cast: Cast, **given: Any) -> tuple[NoticeChannel, str]:
    values: dict[str, Any] = {
        "form": "webhook",
        "facts": ChannelFacts(given.pop("name", "Alarms"), given.pop("kinds", [Kind.LIMITS])),
        "url": URL,
        "allowed": LOCAL,
        "by": cast.creator,
        "at": NOW,
    }
    place = Place(cast.company, given.pop("team", cast.creator_team))
    return channels.add(place, **values | given)


def tell(cast: Cast, *, key: str = "a", **given: Any) -> None:
    values: dict[str, Any] = {"text": "80 % is used.", "at": NOW, "kind": Kind.LIMITS, "path": "/limits/"}
    notify([cast.creator], key=key, **values | given)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


class TestNotify:
    def test_writes_a_mail_and_a_message_once(self, cast: Cast) -> None:
        make_channel(cast)

        for _ in range(2):
            tell(cast, team=cast.creator_team)

        assert NoticeDelivery.objects.filter(person=cast.creator).count() == 1
        assert NoticeDelivery.objects.filter(channel__name="Alarms").count() == 1

    def test_leaves_nothing_behind_when_what_it_tells_of_is_undone(self, cast: Cast) -> None:
        make_channel(cast)

        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tell(cast, team=cast.creator_team)
            raise ZeroDivisionError

        assert not NoticeDelivery.objects.exists()
        assert not Notice.objects.exists()

    def test_sends_to_channels_of_the_team_its_organization_and_the_platform_only(self, cast: Cast) -> None:
        own, _ = make_channel(cast)
        everything, _ = make_channel(cast, name="All", team=None)
        make_channel(cast, name="Others", team=cast.consumer_team)
        make_channel(cast, name="Bills", kinds=[Kind.BILLING])
        channels.add(
            Place(cast.stranger_team.organization, None),
            form="webhook", facts=ChannelFacts("Theirs", list(Kind.values)), url=URL, allowed=LOCAL, by=cast.stranger, at=NOW,
        )  # fmt: skip

        tell(cast, team=cast.creator_team)
        tell(cast, key="private")
        tell(cast, key="platform", is_of_platform=True)

        told = NoticeDelivery.objects.exclude(channel=None).values_list("channel", "idempotency_key")
        assert set(told) == {(own.pk, "a"), (everything.pk, "a"), (everything.pk, "platform")}

    def test_mails_nothing_when_it_is_off_or_has_a_mail_of_its_own(self, cast: Cast) -> None:
        mail_choices.choose(cast.consumer, cadences={Kind.LIMITS: "off"}, at=NOW, by=cast.consumer)

        notify([cast.consumer], text="x", at=NOW, key="a", kind=Kind.LIMITS)
        notify([cast.creator], text="x", at=NOW, key="b", kind=Kind.LIMITS, has_own_mail=True)

        assert Notice.objects.count() == 2
        assert not NoticeDelivery.objects.exists()

    def test_knows_a_default_for_every_kind(self) -> None:
        assert list(ABOUT) == list(Kind)


class TestMail:
    def test_says_it_as_text_and_html_with_one_click_to_end_it(self, cast: Cast, receiver: Receiver) -> None:
        tell(cast, text="<b>80 %</b> is used.\r\nBcc: all@example")

        assert delivering.deliver(at=NOW, way=receiver.way) == 1

        (sent,) = mail.outbox
        assert sent.to == ["creator@demo.example"]
        assert "\n" not in sent.subject
        assert "https://apps.example/limits/" in sent.body
        assert "&lt;b&gt;80 %&lt;/b&gt;" in sent.alternatives[0][0]  # type: ignore[attr-defined]
        assert sent.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert sent.extra_headers["List-Unsubscribe"].startswith("<https://apps.example/mails/stop/")
        assert NoticeDelivery.objects.get().state == "delivered"

    def test_is_the_same_mail_again_when_the_worker_died_before_it_wrote_so_down(
        self, cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tell(cast)

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(delivering, "settle", die)
            delivering.deliver(at=NOW, way=receiver.way)
        assert delivering.deliver(at=NOW + timedelta(minutes=4), way=receiver.way) == 0
        assert delivering.deliver(at=NOW + timedelta(minutes=6), way=receiver.way) == 1

        first, second = (one.extra_headers["Message-ID"] for one in mail.outbox)
        assert first == second == f"<{NoticeDelivery.objects.get().pk}@apps.example>"

    def test_is_tried_again_when_the_server_is_away(
        self, cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tell(cast)
        monkeypatch.setattr(mail.backends.locmem.EmailBackend, "send_messages", _away)

        delivering.deliver(at=NOW, way=receiver.way)

        delivery = NoticeDelivery.objects.get()
        assert delivery.state == "queued"
        assert NOW + timedelta(seconds=16) <= delivery.run_at <= NOW + timedelta(seconds=24)

    def test_goes_to_nobody_who_has_left(self, cast: Cast, receiver: Receiver) -> None:
        tell(cast)
        cast.creator.is_active = False
        cast.creator.save()

        delivering.deliver(at=NOW, way=receiver.way)

        assert mail.outbox == []
        assert NoticeDelivery.objects.get().state == "canceled"


def _away(*_: object) -> int:
    raise ConnectionRefusedError


class TestMessage:
    def test_is_signed_so_that_its_receiver_can_verify_it(self, cast: Cast, receiver: Receiver) -> None:
        _, secret = make_channel(cast)
        tell(cast, team=cast.creator_team)

        delivering.deliver(at=NOW, way=receiver.way)

        (sent,) = receiver.got
        assert is_signed(sent, secret)
        assert not is_signed(sent, "whsec_AAAA")
        assert sent.headers["webhook-timestamp"] == "1794744000"
        delivery = NoticeDelivery.objects.exclude(channel=None).get()
        assert receiver.bodies() == [
            {
                "type": "notice.limits",
                "timestamp": "2026-11-15T12:00:00+00:00",
                "data": {
                    "id": str(delivery.pk),
                    "kind": "limits",
                    "text": "80 % is used.",
                    "url": "https://apps.example/limits/",
                    "about": "UX",
                },
            }
        ]

    def test_is_verified_by_the_lines_of_the_guide(
        self, cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, secret = make_channel(cast)
        tell(cast, team=cast.creator_team)
        delivering.deliver(at=NOW, way=receiver.way)
        (sent,) = receiver.got
        guide: dict[str, Any] = {}
        exec(GUIDE.read_text().split("```python\n")[1].split("```")[0], guide)

        monkeypatch.setattr("time.time", lambda: NOW.timestamp() + 299)
        assert guide["is_ours"](sent.headers, sent.body, secret)
        assert not guide["is_ours"](sent.headers, sent.body + b" ", secret)
        monkeypatch.setattr("time.time", lambda: NOW.timestamp() + 301)
        assert not guide["is_ours"](sent.headers, sent.body, secret)

    def test_is_signed_with_both_secrets_for_a_day_after_a_rotation(
        self, cast: Cast, receiver: Receiver
    ) -> None:
        channel, old = make_channel(cast)
        new = channels.rotate(channel, by=cast.creator, at=NOW)
        tell(cast, team=cast.creator_team)
        tell(cast, team=cast.creator_team, key="b", at=NOW + timedelta(hours=24))

        delivering.deliver(at=NOW + timedelta(hours=23), way=receiver.way)
        delivering.deliver(at=NOW + timedelta(hours=24), way=receiver.way)

        first, second = receiver.got
        assert is_signed(first, old) and is_signed(first, new)
        assert is_signed(second, new) and not is_signed(second, old)

    def test_is_slack_s_without_links_of_strangers(self, cast: Cast, receiver: Receiver) -> None:
        make_channel(cast, form="slack")
        tell(cast, team=cast.creator_team, text="<!channel> & <http://evil.example|us>")

        delivering.deliver(at=NOW, way=receiver.way)

        (body,) = receiver.bodies()
        assert body["text"] == "&lt;!channel&gt; &amp; &lt;http://evil.example|us&gt;"
        assert body["blocks"][0]["text"]["text"].endswith(
            "\n<https://apps.example/limits/|Open in Halfpenny>"
        )
        assert "webhook-signature" not in receiver.got[0].headers

    def test_is_a_card_of_teams_with_its_text_as_it_is(self, cast: Cast, receiver: Receiver) -> None:
        make_channel(cast, form="teams")
        tell(cast, team=cast.creator_team, text="[here](http://evil.example)")

        delivering.deliver(at=NOW, way=receiver.way)

        card = receiver.bodies()[0]["attachments"][0]["content"]
        assert card["body"][0] == {
            "type": "RichTextBlock",
            "inlines": [{"type": "TextRun", "text": "[here](http://evil.example)"}],
        }
        assert card["actions"][0]["url"] == "https://apps.example/limits/"


class TestFailures:
    def test_are_tried_again_under_the_same_id_and_each_stands_in_the_log(
        self, cast: Cast, receiver: Receiver
    ) -> None:
        channel, _ = make_channel(cast)
        tell(cast, team=cast.creator_team)
        receiver.answer = Outcome(7, 500, "answered 500", "boom")
        delivering.deliver(at=NOW, way=receiver.way)
        channel.refresh_from_db()
        assert channel.failing_since == NOW

        receiver.answer = Outcome(3, 204)
        delivering.deliver(at=NOW + timedelta(seconds=30), way=receiver.way)

        assert len({one.headers["webhook-id"] for one in receiver.got}) == 1
        delivery = NoticeDelivery.objects.get(channel=channel)
        assert (delivery.state, delivery.attempts) == ("delivered", 2)
        log = DeliveryAttempt.objects.filter(delivery=delivery).order_by("at")
        assert [(one.http_status, one.duration_ms, one.excerpt) for one in log] == [
            (500, 7, "boom"),
            (204, 3, ""),
        ]
        channel.refresh_from_db()
        assert channel.failing_since is None

    def test_wait_as_long_as_the_receiver_asks(self, cast: Cast, receiver: Receiver) -> None:
        make_channel(cast)
        tell(cast, team=cast.creator_team)
        receiver.answer = Outcome(7, 429, "answered 429", retry_after_s=3600)

        delivering.deliver(at=NOW, way=receiver.way)

        assert NoticeDelivery.objects.exclude(channel=None).get().run_at == NOW + timedelta(hours=1)

    def test_end_after_ten_attempts(self, cast: Cast, receiver: Receiver) -> None:
        channel, _ = make_channel(cast)
        tell(cast, team=cast.creator_team)
        receiver.answer = Outcome(7, 500, "answered 500")

        for day in range(12):
            delivering.deliver(at=NOW + timedelta(hours=6 * day), way=receiver.way)

        delivery = NoticeDelivery.objects.get(channel=channel)
        assert (delivery.state, delivery.attempts) == ("failed", 10)
        assert len(receiver.got) == 10

    def test_of_days_switch_the_channel_off_and_tell_its_keepers(
        self, cast: Cast, receiver: Receiver
    ) -> None:
        channel, _ = make_channel(cast)
        receiver.answer = Outcome(7, 500, "answered 500")
        tell(cast, team=cast.creator_team)
        delivering.deliver(at=NOW, way=receiver.way)
        later = NOW + timedelta(days=3)
        tell(cast, team=cast.creator_team, key="b", at=later)

        delivering.deliver(at=later, way=receiver.way)

        channel.refresh_from_db()
        assert channel.state == "off"
        told = Notice.objects.filter(text__startswith="The channel Alarms was switched off")
        assert {one.recipient for one in told} == {cast.creator, cast.finance}
        assert told[0].path == f"/notices/channels/{channel.pk}/"
        sent = len(receiver.got)
        delivering.deliver(at=later + timedelta(days=1), way=receiver.way)
        assert len(receiver.got) == sent
        assert not NoticeDelivery.objects.filter(channel=channel, state="queued").exists()
        tell(cast, team=cast.creator_team, key="c")
        assert not NoticeDelivery.objects.filter(channel=channel, idempotency_key="c").exists()

    def test_of_a_receiver_that_is_gone_switch_it_off_at_once(self, cast: Cast, receiver: Receiver) -> None:
        channel, _ = make_channel(cast)
        tell(cast, team=cast.creator_team)
        tell(cast, team=cast.creator_team, key="b")
        receiver.answer = Outcome(7, 410, "answered 410")

        delivering.deliver(at=NOW, way=receiver.way)

        channel.refresh_from_db()
        assert (channel.state, channel.off_reason) == ("off", "Its receiver says it is gone (410).")
        assert Notice.objects.filter(kind=Kind.SECURITY, recipient=cast.creator).count() == 1
        assert set(NoticeDelivery.objects.filter(channel=channel).values_list("state", flat=True)) == {
            "failed"
        }

    def test_of_a_lost_worker_come_too_late(self, cast: Cast, receiver: Receiver) -> None:
        """It was taken over meanwhile and is delivered; the first one's failure changes nothing."""
        make_channel(cast)
        tell(cast, team=cast.creator_team)
        (lost,) = (one for one in delivering.claim(at=NOW, limit=9) if one.channel)
        delivering.deliver(at=NOW + timedelta(minutes=6), way=receiver.way)

        delivering.settle(lost, Outcome(7, 500, "answered 500"), at=NOW + timedelta(minutes=7))

        assert NoticeDelivery.objects.get(pk=lost.pk).state == "delivered"

    def test_of_a_channel_that_is_removed_meanwhile_hold_up_no_other(
        self, cast: Cast, receiver: Receiver
    ) -> None:
        removed, _ = make_channel(cast)
        make_channel(cast, name="Stays")
        tell(cast, team=cast.creator_team)

        def remove_it(_: object) -> Outcome:
            NoticeChannel.objects.filter(pk=removed.pk).delete()
            return Outcome(7, 410, "answered 410")

        receiver.answer = remove_it
        delivering.deliver(at=NOW, way=receiver.way)

        assert len(receiver.got) == 2
        assert NoticeChannel.objects.get().state == "off"

    def test_of_one_mail_hold_up_no_other(
        self, cast: Cast, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notify([cast.creator, cast.consumer], text="x", at=NOW, key="a", kind=Kind.LIMITS)
        send = mail.backends.locmem.EmailBackend.send_messages

        def refuse(backend: Any, messages: list[Any]) -> int:
            if messages[0].to == [cast.creator.email]:
                raise ValueError("not an address")
            return send(backend, messages)

        monkeypatch.setattr(mail.backends.locmem.EmailBackend, "send_messages", refuse)

        delivering.deliver(at=NOW, way=receiver.way)

        assert [one.to for one in mail.outbox] == [[cast.consumer.email]]


class TestSendAgain:
    def test_keeps_the_id(self, cast: Cast, receiver: Receiver) -> None:
        channel, _ = make_channel(cast)
        tell(cast, team=cast.creator_team)
        delivering.deliver(at=NOW, way=receiver.way)
        delivery = NoticeDelivery.objects.get(channel=channel)

        channels.send_again(delivery, by=cast.creator, at=NOW)
        with pytest.raises(Conflict):
            channels.send_again(delivery, by=cast.creator, at=NOW)
        delivering.deliver(at=NOW, way=receiver.way)

        assert [one.headers["webhook-id"] for one in receiver.got] == [str(delivery.pk)] * 2

    def test_is_refused_while_the_channel_is_paused(self, cast: Cast, receiver: Receiver) -> None:
        channel, _ = make_channel(cast)
        tell(cast, team=cast.creator_team)
        channels.pause(channel, by=cast.creator, at=NOW)
        delivery = NoticeDelivery.objects.get(channel=channel)
        assert delivery.state == "canceled"

        with pytest.raises(Conflict):
            channels.send_again(delivery, by=cast.creator, at=NOW)


class TestSchedule:
    @pytest.mark.parametrize(
        ("attempts", "seconds"), [(1, 20), (2, 60), (3, 180), (4, 540), (7, 14580), (8, 21600), (9, 21600)]
    )
    def test_is_later_each_time(self, attempts: int, seconds: int) -> None:
        assert retrying.delay_after(attempts, spread=0) == timedelta(seconds=seconds)

    def test_is_spread_by_a_fifth(self) -> None:
        assert retrying.delay_after(3, spread=-20) == timedelta(seconds=144)
        assert retrying.delay_after(3, spread=20) == timedelta(seconds=216)

    def test_ends(self) -> None:
        assert retrying.delay_after(10, spread=0, asked_s=5) is None

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("120", 120),
            ("Sun, 15 Nov 2026 12:01:00 GMT", 60),
            ("Sun, 15 Nov 2026 11:00:00 GMT", 0),
            ("99999999999999", 86_400),
            ("soon", None),
            ("", None),
            (None, None),
        ],
    )
    def test_reads_retry_after(self, header: str | None, seconds: int | None) -> None:
        assert retrying.read_retry_after(header, at=NOW) == seconds

    def test_never_comes_before_what_was_asked(self) -> None:
        assert retrying.delay_after(1, spread=20, asked_s=600) == timedelta(minutes=10)
        assert retrying.delay_after(9, spread=0, asked_s=600) == timedelta(hours=6)


class TestRows:
    def test_have_one_destination(self, cast: Cast) -> None:
        with pytest.raises(IntegrityError, match="notice_delivery_one_destination"), transaction.atomic():
            NoticeDelivery.objects.create(idempotency_key="a", run_at=NOW, created_at=NOW)

    def test_of_a_webhook_have_a_secret(self, cast: Cast) -> None:
        channel, _ = make_channel(cast)

        with pytest.raises(IntegrityError, match="notice_channel_webhook_is_signed"), transaction.atomic():
            NoticeChannel.objects.filter(pk=channel.pk).update(secret_sealed="")

    def test_that_ended_long_ago_are_forgotten_and_mailed_no_second_time(
        self, cast: Cast, receiver: Receiver
    ) -> None:
        tell(cast)
        delivering.deliver(at=NOW, way=receiver.way)

        assert delivering.purge(at=NOW + timedelta(days=89)) == 0
        assert delivering.purge(at=NOW + timedelta(days=91)) == 1

        notice = Notice.objects.get()
        assert (notice.mail, notice.delivery) == ("off", None)


class TestSecrets:
    def test_are_sealed_in_the_database_and_in_no_audit_entry(self, cast: Cast) -> None:
        channel, secret = make_channel(cast)

        kept = str(NoticeChannel.objects.filter(pk=channel.pk).values().get())
        audited = str(list(cast.creator.audit_entries.values("old", "new", "reason")))
        for hidden in (secret, "T0PSECRET"):
            assert hidden not in kept + audited
        assert channels.unseal(channel.url_sealed) == URL
