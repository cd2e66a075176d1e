from datetime import timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog.models import App
from marketplace.core.models import Notice
from metering import conflicts, ingest
from metering.attribution import Dimensions
from metering.models import EventConflict
from metering.tasks import purge_conflicts, tell_of_conflicts
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage


@pytest.fixture
def conflict(who: Dimensions) -> EventConflict:
    """A report of 480 tokens, and half an hour later one of 512 under its id."""
    ingest.record([make_usage(who, latency_ms=90)], at=NOW)
    later = make_usage(
        who,
        tokens=512,
        latency_ms=90,
        tags={"run": "2"},
        provider_cost=Decimal("0.10"),
        at=NOW + timedelta(minutes=30),
    )
    ingest.record([later], at=NOW)
    return EventConflict.objects.get()


class TestDescribe:
    def test_sets_the_second_report_beside_the_first(self, app: App, conflict: EventConflict) -> None:
        (found,) = conflicts.describe(list(conflicts.of_apps(App.objects.all()).select_related("app")))

        changed = {one.label: (one.old, one.new) for one in found.changes if one.old != one.new}
        assert changed == {
            "Input tokens": ("480", "512"),
            "Provider cost": ("", "0.1"),
            "Tags": ("", "run=2"),
            "Occurred": ("15 Nov 2026, 12:00:00", "15 Nov 2026, 12:30:00"),
        }
        assert (found.app_slug, found.event_id, found.received_at) == ("where2eat", "e1", NOW)
        assert not found.is_of_other_subscription

    def test_tells_another_subscription_without_naming_it(self, cast: Cast, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)
        ingest.record([make_usage(who._replace(subscription_id=None))], at=NOW)

        (found,) = conflicts.describe(list(EventConflict.objects.select_related("app")))

        assert found.is_of_other_subscription
        assert "subscription" not in found.second
        assert all(one.old == one.new for one in found.changes)

    def test_asks_twice_however_many_there_are(
        self, who: Dimensions, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(5):
            ingest.record([make_usage(who, f"e{number}")], at=NOW)
            ingest.record([make_usage(who, f"e{number}", tokens=1)], at=NOW)
        rows = list(EventConflict.objects.select_related("app"))

        with django_assert_num_queries(2):
            assert len(conflicts.describe(rows)) == 5


class TestTellMakers:
    def test_tells_creators_of_the_team_once_a_day(
        self, cast: Cast, who: Dimensions, conflict: EventConflict
    ) -> None:
        for hour in range(3):
            assert conflicts.tell_makers(at=NOW + timedelta(hours=hour)) == 1

        notice = Notice.objects.get()
        assert notice.recipient == cast.creator
        assert notice.text.startswith("1 report of ")
        assert "on 2026-11-15 came under known ids with other content" in notice.text
        assert notice.path == "/usage/conflicts/?app=where2eat"

    def test_tells_of_the_next_day_again(self, who: Dimensions, conflict: EventConflict) -> None:
        conflicts.tell_makers(at=NOW)
        ingest.record([make_usage(who, tokens=2)], at=NOW + timedelta(days=1))
        conflicts.tell_makers(at=NOW + timedelta(days=1))

        assert Notice.objects.count() == 2

    def test_tells_of_nothing_older_than_a_day(self, who: Dimensions, conflict: EventConflict) -> None:
        assert conflicts.tell_makers(at=NOW + timedelta(hours=27)) == 0
        tell_of_conflicts()
        assert not Notice.objects.exists()


class TestPurge:
    def test_deletes_after_ninety_days(
        self, who: Dimensions, conflict: EventConflict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conflicts, "PURGED_AT_ONCE", 1)
        ingest.record([make_usage(who, tokens=2), make_usage(who, tokens=3)], at=NOW)

        assert conflicts.purge(at=NOW + timedelta(days=90)) == 0
        assert conflicts.purge(at=NOW + timedelta(days=90, seconds=1)) == 3
        purge_conflicts()
        assert not EventConflict.objects.exists()


def test_conflicts_of_other_apps_stay_apart(cast: Cast, conflict: EventConflict) -> None:
    other = factories.make_app(cast.stranger_team)

    assert not conflicts.of_apps(App.objects.filter(pk=other.pk)).exists()
