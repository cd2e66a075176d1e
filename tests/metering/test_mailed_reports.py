from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.errors import InvalidInput, NotFound, Unavailable
from marketplace.core.models import AuditEntry, Job, Notice
from metering import ingest, tasks
from metering.kept import mails, schedules
from metering.kept.mails import Sender
from metering.kept.schedules import Days
from metering.models import ReportSchedule
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World, used

SENDER = Sender("halfpenny@localhost", "https://apps.example", "Halfpenny", "USD")
# The present is Sunday, 15 November 2026; the next day is a Monday.
MONDAY = datetime(2026, 11, 16, 7, tzinfo=UTC)


def subscribe(
    person: User, *, cadence: str = "weekly", query: str = "group_by=team", at: datetime = NOW
) -> ReportSchedule:
    return schedules.subscribe(person, name="Usage by team", query=query, cadence=cadence, at=at)


def run_all(*, at: datetime) -> list[Any]:
    """Run what is queued and return the results."""
    return [jobs.run(job_id, at=at).result for job_id in jobs.due(at=at)]  # type: ignore[union-attr]


class TestDays:
    @pytest.mark.parametrize(
        ("cadence", "at", "on"),
        [
            ("weekly", NOW, date(2026, 11, 9)),
            ("weekly", MONDAY, date(2026, 11, 16)),
            ("monthly", NOW, date(2026, 11, 1)),
        ],
    )
    def test_come_on_mondays_and_firsts(self, cadence: str, at: datetime, on: date) -> None:
        assert schedules.newest_date(cadence, at=at) == on

    def test_told_of_are_the_week_or_month_before(self) -> None:
        assert schedules.days_before("weekly", date(2026, 11, 16)) == Days(
            date(2026, 11, 9), date(2026, 11, 15)
        )
        assert schedules.days_before("monthly", date(2026, 3, 1)) == Days(date(2026, 2, 1), date(2026, 2, 28))


class TestSubscribe:
    def test_gives_the_first_one_for_the_same_again(self, cast: Cast) -> None:
        assert subscribe(cast.finance) == subscribe(cast.finance)
        assert AuditEntry.objects.filter(action="metering.report_schedule.started").count() == 1

    def test_begins_anew_after_it_was_stopped(self, cast: Cast) -> None:
        first = subscribe(cast.finance)

        assert schedules.stop(first, at=NOW, by=cast.finance)
        assert not schedules.stop(first, at=NOW, by=cast.finance)
        assert subscribe(cast.finance) != first

    def test_refuses_other_days_and_too_many(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(InvalidInput):
            subscribe(cast.finance, cadence="hourly")
        monkeypatch.setattr(schedules, "MOST_SCHEDULES", 1)
        subscribe(cast.finance)
        with pytest.raises(InvalidInput):
            subscribe(cast.finance, query="group_by=app")


class TestQueueDue:
    def test_sends_nothing_before_the_next_date(self, cast: Cast) -> None:
        subscribe(cast.finance)

        assert schedules.queue_due(at=NOW) == 0
        assert schedules.queue_due(at=MONDAY.replace(hour=5)) == 0

    def test_queues_once_for_each_date(self, cast: Cast) -> None:
        subscribe(cast.finance)

        assert [schedules.queue_due(at=MONDAY), schedules.queue_due(at=MONDAY)] == [1, 0]
        assert schedules.queue_due(at=MONDAY + timedelta(days=7)) == 1
        assert Job.objects.filter(name=schedules.SEND_SCHEDULED).count() == 2

    def test_makes_up_for_what_was_missed_once(self, cast: Cast) -> None:
        subscribe(cast.finance)

        assert schedules.queue_due(at=MONDAY + timedelta(days=23)) == 1
        assert Job.objects.get().arguments["on"] == "2026-12-07"

    def test_leaves_out_what_was_stopped(self, cast: Cast) -> None:
        schedules.stop(subscribe(cast.finance), at=NOW, by=cast.finance)

        assert schedules.queue_due(at=MONDAY) == 0


class TestSendScheduled:
    def test_mails_the_week_before_as_text_table_and_file(
        self, cast: Cast, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subscribe(cast.finance, query="group_by=team&compare=previous")
        ingest.record(
            [used(world.people_subscription, "old", at=NOW - timedelta(days=9), input_tokens=500_000)], at=NOW
        )
        schedules.queue_due(at=MONDAY)
        monkeypatch.setattr(timezone, "now", lambda: MONDAY)

        assert run_all(at=MONDAY) == [True]

        (sent,) = mail.outbox
        assert sent.to == [cast.finance.email]
        assert sent.subject == "Usage by team: 9 Nov to 15 Nov 2026"
        # strangers 0.80; people 0.40, before that 0.10; ops 0.37
        assert "Operations: $0.37, 3 calls (new; before $0.00)" in sent.body
        assert "Total: $1.57, 5 calls" in sent.body
        ((html, kind),) = sent.alternatives
        assert kind == "text/html"
        assert "$1.57" in html
        ((name, content, kind),) = sent.attachments
        assert (name, kind) == ("usage-2026-11-09-2026-11-16.csv", "text/csv")
        assert content.splitlines()[-1].startswith("Total,")

    def test_mails_what_the_person_may_see_then(
        self, cast: Cast, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schedule = subscribe(cast.consumer)
        monkeypatch.setattr(timezone, "now", lambda: MONDAY)
        cast.consumer.memberships.all().delete()

        schedules.queue_due(at=MONDAY)
        run_all(at=MONDAY)

        (sent,) = mail.outbox
        assert "Total: $0.00, 0 calls" in sent.body
        assert "Operations" not in sent.body
        assert schedules.token_of(schedule) in sent.body

    def test_stops_for_people_who_left(self, cast: Cast, world: World) -> None:
        schedule = subscribe(cast.consumer)
        schedules.queue_due(at=MONDAY)
        User.objects.filter(pk=cast.consumer.pk).update(is_active=False)

        assert run_all(at=MONDAY) == [False]

        schedule.refresh_from_db()
        assert mail.outbox == []
        assert schedule.ended_at is not None

    def test_tells_who_asked_when_the_question_cannot_be_answered(self, cast: Cast, world: World) -> None:
        subscribe(cast.finance, query="group_by=team&subscription=nonsense")

        schedules.queue_due(at=MONDAY)

        assert run_all(at=MONDAY) == [False]
        assert "could not be mailed" in Notice.objects.get(recipient=cast.finance).text

    def test_is_tried_again_when_the_mail_server_is_away(
        self, cast: Cast, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise ConnectionRefusedError("nobody there")

        monkeypatch.setattr(mails.EmailMultiAlternatives, "send", refuse)
        schedule = subscribe(cast.finance)

        with pytest.raises(Unavailable):
            mails.send_scheduled(schedule.pk, on=MONDAY.date(), at=MONDAY, sender=SENDER)

    def test_names_the_one_click_that_ends_it(self, cast: Cast, world: World) -> None:
        schedule = subscribe(cast.finance)

        mails.send_scheduled(schedule.pk, on=MONDAY.date(), at=MONDAY, sender=SENDER)

        headers = mail.outbox[0].extra_headers
        assert headers["List-Unsubscribe"] == f"<https://apps.example{mails.stop_path_of(schedule)}>"
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


class TestSendNow:
    def test_mails_what_was_looked_at_once_a_minute(self, cast: Cast, world: World, client: Client) -> None:
        client.force_login(cast.finance)
        posted = {"query": "first=2026-11-14&last=2026-11-15&group_by=app"}

        mails.request(cast.finance, name="Usage by app", query=posted["query"], at=NOW)
        mails.request(cast.finance, name="Usage by app", query=posted["query"], at=NOW)
        assert run_all(at=NOW) == [True]
        assert client.post("/usage/saved/mail/", posted).status_code == 302

        (sent,) = mail.outbox
        assert "Where to eat: $1.56, 4 calls" in sent.body
        assert "Total: $1.57, 5 calls" in sent.body
        assert Job.objects.filter(name=mails.SEND_REPORT).count() == 2


class TestRoutine:
    def test_queues(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        subscribe(cast.finance)
        monkeypatch.setattr(timezone, "now", lambda: MONDAY)

        tasks.queue_reports()

        assert Job.objects.get().name == schedules.SEND_SCHEDULED


class TestConstraints:
    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"name": ""}, "report_schedule_has_name"),
            ({"query": "group_by=app"}, "report_schedule_once"),
            ({"cadence": "monthly"}, "report_schedule_on_the_first"),
        ],
    )
    def test_hold(self, cast: Cast, change: dict[str, Any], constraint: str) -> None:
        subscribe(cast.finance, query="group_by=app")
        schedule = subscribe(cast.finance)

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            ReportSchedule.objects.filter(pk=schedule.pk).update(**change)


class TestPages:
    def test_subscribe_list_and_stop(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.consumer)

        posted = {"query": "days=7&group_by=team&app=fx", "cadence": "monthly"}
        assert client.post("/usage/saved/schedules/", posted).status_code == 302
        schedule = ReportSchedule.objects.get()
        assert (schedule.query, schedule.name) == ("app=fx&group_by=team", "Usage by team: fx")
        assert "Monthly, on the 1st" in client.get("/usage/saved/").content.decode()
        assert client.post(f"/usage/saved/schedules/{schedule.pk}/stop/").status_code == 302
        assert not schedules.schedules_of(cast.consumer).exists()

    def test_keep_a_name_on_one_line(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.consumer)

        client.post("/usage/saved/schedules/", {"query": "app=a%0D%0ABcc:x", "cadence": "weekly"})

        assert ReportSchedule.objects.get().name == "Usage by app: a Bcc:x"

    def test_of_others_are_not_there(self, cast: Cast, client: Client) -> None:
        schedule = subscribe(cast.finance)

        for person in (cast.consumer, cast.stranger):
            client.force_login(person)
            assert client.post(f"/usage/saved/schedules/{schedule.pk}/stop/").status_code == 404
            assert "Usage by team" not in client.get("/usage/saved/").content.decode()

    def test_keep_to_their_budget_of_queries(
        self, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for query in ("group_by=team", "group_by=app"):
            subscribe(cast.finance, query=query)
        client.force_login(cast.finance)

        with django_assert_max_num_queries(12):
            client.get("/usage/saved/?group_by=team")


class TestUnsubscribe:
    def test_needs_no_sign_in_and_no_form(self, cast: Cast) -> None:
        schedule = subscribe(cast.finance)
        path = mails.stop_path_of(schedule)
        client = Client(enforce_csrf_checks=True)

        assert "Stop these mails" in client.get(path).content.decode()
        schedule.refresh_from_db()
        assert schedule.ended_at is None
        assert "not mailed any more" in client.post(path, {"List-Unsubscribe": "One-Click"}).content.decode()
        schedule.refresh_from_db()
        assert schedule.ended_at is not None

    def test_believes_no_other_token(self, cast: Cast, client: Client) -> None:
        schedule = subscribe(cast.finance)

        assert client.post(f"/usage/unsubscribe/{schedule.pk}:forged/").status_code == 404
        with pytest.raises(NotFound):
            schedules.by_token(str(schedule.pk))
