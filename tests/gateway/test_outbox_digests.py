"""Digests: at the hour of their person, each notice in exactly one."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts import mail_choices
from marketplace.accounts.mail_choices import When
from marketplace.accounts.models import User
from marketplace.core.models import DigestTime, Notice, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.core.notices import notify
from marketplace.gateway.outbox import delivering, digests
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.receiving import Receiver

pytestmark = pytest.mark.django_db
# The present is Sunday, 15 November 2026, noon; digests come at eight in UTC unless chosen.
MONDAY_8 = datetime(2026, 11, 16, 8, tzinfo=UTC)


def choose(person: User, **cadences: str) -> None:
    mail_choices.choose(person, cadences=cadences, at=NOW, by=person)


def tell(person: User, *, key: str, kind: str = Kind.LIMITS, at: datetime = NOW) -> None:
    notify([person], text=f"About {key}.", at=at, key=key, kind=kind, path=f"/{key}/")


def run(at: datetime) -> list[str]:
    """Collect and deliver; returns the subjects of the new mails."""
    before = len(mail.outbox)
    digests.collect(at=at)
    delivering.deliver(at=at, way=Receiver().way)
    return [one.subject for one in mail.outbox[before:]]


class TestCollect:
    def test_puts_each_notice_into_exactly_one_digest(self, cast: Cast) -> None:
        choose(cast.creator, limits="daily", incidents="daily")
        tell(cast.creator, key="a")
        tell(cast.creator, key="b", kind=Kind.INCIDENTS)

        assert run(MONDAY_8 - timedelta(minutes=1)) == []
        assert run(MONDAY_8) == ["Halfpenny: 2 notices of the day"]
        assert run(MONDAY_8 + timedelta(minutes=1)) == []
        tell(cast.creator, key="c", at=MONDAY_8 + timedelta(minutes=2))
        assert run(MONDAY_8 + timedelta(hours=23)) == []
        assert run(MONDAY_8 + timedelta(days=1)) == ["Halfpenny: 1 notice of the day"]
        assert Notice.objects.filter(delivery=None).count() == 0

    def test_groups_by_kind_with_a_link_to_each_thing(self, cast: Cast) -> None:
        choose(cast.creator, limits="daily", incidents="daily")
        for key, kind in (("a", Kind.INCIDENTS), ("b", Kind.LIMITS), ("c", Kind.INCIDENTS)):
            tell(cast.creator, key=key, kind=kind)

        run(MONDAY_8)

        body = str(mail.outbox[0].body)
        assert body.index("Limits and budgets") < body.index("About b.") < body.index("Incidents")
        assert body.index("Incidents") < body.index("About c.") < body.index("About a.")
        assert "https://apps.example/b/" in body
        html = mail.outbox[0].alternatives[0][0]  # type: ignore[attr-defined]
        assert '<a href="https://apps.example/b/">About b.</a>' in html

    def test_keeps_weekly_ones_for_the_weekday(self, cast: Cast) -> None:
        choose(cast.creator, limits="weekly")
        mail_choices.set_time(cast.creator, when=When("UTC", 8, 2))
        tell(cast.creator, key="a")

        assert run(MONDAY_8 + timedelta(days=1, hours=12)) == []
        assert run(MONDAY_8 + timedelta(days=2)) == ["Halfpenny: 1 notice of the week"]

    def test_leaves_what_was_written_late_for_the_next_one(self, cast: Cast) -> None:
        choose(cast.creator, limits="daily")
        tell(cast.creator, key="a")
        run(MONDAY_8)
        tell(cast.creator, key="late", at=NOW)

        assert run(MONDAY_8 + timedelta(hours=1)) == []
        assert run(MONDAY_8 + timedelta(days=1)) == ["Halfpenny: 1 notice of the day"]

    def test_mails_nothing_that_was_turned_off_meanwhile(self, cast: Cast) -> None:
        choose(cast.creator, limits="daily")
        tell(cast.creator, key="a")
        choose(cast.creator, limits="off")

        assert run(MONDAY_8) == []
        assert NoticeDelivery.objects.count() == 0

    def test_takes_what_waits_along_to_another_rhythm(self, cast: Cast) -> None:
        choose(cast.creator, limits="daily")
        tell(cast.creator, key="a")
        choose(cast.creator, limits="weekly")

        assert run(MONDAY_8) == ["Halfpenny: 1 notice of the week"]

    def test_asks_the_same_of_the_database_for_one_and_for_many(
        self, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        people = [cast.creator, cast.consumer, cast.finance, cast.operator]
        for person in people:
            choose(person, limits="weekly")
            tell(person, key="a")

        with django_assert_max_num_queries(2):
            digests.collect(at=NOW + timedelta(hours=1))


class TestLatestTime:
    @pytest.mark.parametrize(
        ("zone", "at", "expected"),
        [
            # Berlin is an hour ahead of UTC in winter, two in summer; New York is five hours behind.
            ("Europe/Berlin", datetime(2026, 11, 16, 7, tzinfo=UTC), datetime(2026, 11, 16, 7, tzinfo=UTC)),
            ("Europe/Berlin", datetime(2026, 7, 16, 6, tzinfo=UTC), datetime(2026, 7, 16, 6, tzinfo=UTC)),
            (
                "America/New_York",
                datetime(2026, 11, 16, 12, tzinfo=UTC),
                datetime(2026, 11, 15, 13, tzinfo=UTC),
            ),
            # The day on which the clocks went back, and the one before.
            ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), datetime(2026, 10, 25, 7, tzinfo=UTC)),
            ("Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 24, 6, tzinfo=UTC)),
        ],
    )
    def test_is_the_same_hour_of_the_person_s_clock(
        self, zone: str, at: datetime, expected: datetime
    ) -> None:
        assert digests.latest_time(DigestTime(time_zone=zone, hour=8), "daily", at=at) == expected

    @given(
        zone=st.sampled_from(
            ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
        ),
        at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        hour=st.integers(0, 23),
        weekday=st.integers(0, 6),
    )
    def test_is_never_ahead_and_never_longer_ago_than_a_day_or_week_of_that_clock(
        self, zone: str, at: datetime, hour: int, weekday: int
    ) -> None:
        when = DigestTime(time_zone=zone, hour=hour, weekday=weekday)

        for cadence, longest in (("daily", timedelta(hours=25)), ("weekly", timedelta(days=7, hours=1))):
            moment = digests.latest_time(when, cadence, at=at)
            assert timedelta(0) <= at - moment.astimezone(UTC) <= longest
            assert moment.hour == hour
            assert cadence == "daily" or moment.weekday() == weekday
