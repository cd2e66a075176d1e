from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, connections, transaction

from metering import ingest, partitions, rollups
from metering.attribution import Dimensions
from metering.models import ArchivedPeriod, EventKey, UsageEvent, UsageRollup
from metering.partitions import EventsBusy, PeriodArchived
from metering.rating import Quantities
from tests.factories import NOW
from tests.metering.conftest import make_usage

OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
IN_OCTOBER = datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def stands_in(event_id: str) -> str:
    """Return the partition that holds an event."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM metering_usageevent WHERE event_id = %s", [event_id]
        )
        return str(cursor.fetchone()[0])


def archived_without_files(period: date) -> ArchivedPeriod:
    return ArchivedPeriod.objects.create(
        period=period, archived_at=NOW, folder="", manifest={}, manifest_sha256=""
    )


class TestMakeAround:
    def test_makes_two_months_back_and_three_ahead_once(self, db: None) -> None:
        made = partitions.make_around(NOW)

        # NOW is in November 2026
        assert made == [date(2026, 9, 1), OCTOBER, NOVEMBER, DECEMBER, date(2027, 1, 1), date(2027, 2, 1)]
        assert partitions.existing() == made
        assert partitions.make_around(NOW) == []

    def test_moves_events_that_came_before_their_partition(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, "e1"), make_usage(who, "e2", at=IN_OCTOBER)], at=NOW)
        before = list(UsageEvent.objects.order_by("event_id").values())
        assert stands_in("e1") == partitions.DEFAULT

        partitions.make_around(NOW)

        assert stands_in("e1") == "metering_usageevent_2026_11"
        assert stands_in("e2") == "metering_usageevent_2026_10"
        assert list(UsageEvent.objects.order_by("event_id").values()) == before
        assert partitions.stray_months() == []
        assert rollups.differences() == []

    def test_makes_months_of_long_ago_that_have_events(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, at=datetime(2025, 9, 1, tzinfo=UTC))], at=NOW)

        assert date(2025, 9, 1) in partitions.make_around(NOW)
        assert stands_in("e1") == "metering_usageevent_2025_09"

    def test_leaves_archived_months_alone(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, at=IN_OCTOBER)], at=NOW)
        archived_without_files(OCTOBER)

        assert OCTOBER not in partitions.make_around(NOW)
        assert stands_in("e1") == partitions.DEFAULT


class TestMake:
    def test_lets_events_still_only_be_added(self, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)
        partitions.make([NOVEMBER])

        for table in ("metering_usageevent", partitions.name_of(NOVEMBER), partitions.DEFAULT):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'O' "
                    "AND tgname LIKE '%%append_only%%'",
                    [table],
                )
                assert cursor.fetchone() == (1,), table

    def test_counts_an_id_once_over_all_months(self, who: Dimensions) -> None:
        partitions.make([OCTOBER, NOVEMBER])
        ingest.record([make_usage(who, at=IN_OCTOBER)], at=NOW)

        again = ingest.record([make_usage(who), make_usage(who, "e2")], at=NOW)
        other = ingest.record([make_usage(who, tokens=1)], at=NOW)

        assert [receipt.status for receipt in again] == ["duplicate", "accepted"]
        assert [receipt.status for receipt in other] == ["conflict"]
        assert (UsageEvent.objects.count(), EventKey.objects.count()) == (2, 2)
        assert UsageEvent.objects.get(event_id="e1").occurred_at == IN_OCTOBER
        assert rollups.differences() == []

    def test_refuses_a_month_that_is_archived(self, db: None) -> None:
        archived_without_files(OCTOBER)

        with pytest.raises(PeriodArchived, match="2026-10 are archived"):
            partitions.make([OCTOBER])


class TestRebuild:
    def test_of_a_month_gives_what_incremental_recording_gave(self, who: Dimensions) -> None:
        """Of November are billed: its own events, and late ones that occurred in October, which is closed."""
        partitions.make([OCTOBER])
        for number, at in enumerate(
            [IN_OCTOBER, IN_OCTOBER - timedelta(days=3), NOW, NOW - timedelta(hours=5)]
        ):
            ingest.record(
                [make_usage(who, f"e{number}", at=at, tokens=number, latency_ms=90 * number)], at=NOW
            )
        partitions.make([NOVEMBER])
        ingest.record([make_usage(who, "e9", quantities=Quantities(output_tokens=7))], at=NOW)
        before = list(UsageRollup.objects.order_by("hour").values())

        for period in (OCTOBER, NOVEMBER):
            rollups.rebuild(period=period)

        assert list(UsageRollup.objects.order_by("hour").values()) == before
        assert len(before) == 4
        assert (rollups.differences(), rollups.differing_days()) == ([], [])


class TestHints:
    def test_are_none_when_partitions_are_made(self, db: None) -> None:
        partitions.make_around(NOW)

        assert partitions.hints(at=NOW) == []

    def test_tell_of_a_next_month_without_partition(self, db: None) -> None:
        partitions.make([NOVEMBER])

        assert partitions.hints(at=NOW) == ["Events of 2026-12 have no partition yet: is beat running?"]

    def test_tell_of_events_in_the_default_partition(self, who: Dimensions) -> None:
        partitions.make([DECEMBER])
        archived_without_files(OCTOBER)
        ingest.record([make_usage(who), make_usage(who, "e2", at=IN_OCTOBER)], at=NOW)

        assert partitions.hints(at=NOW) == [
            "Events of 2026-11 stand in the default partition. The next run of metering.make_partitions moves them.",
            "Events of 2026-10 stand in the default partition. Restore these months and archive them again.",
        ]


@pytest.fixture
def reader(transactional_db: None) -> Iterator[None]:
    """Somebody who reads events in a long transaction, such as a dump."""
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM metering_usageevent")
        yield
    finally:
        other.close()


class TestImpatiently:
    def test_gives_way_to_a_long_reader(self, reader: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "50ms")

        with pytest.raises(EventsBusy):
            partitions.make([NOVEMBER])

        assert partitions.existing() == []

    def test_waits_as_long_as_before_afterwards(self, db: None) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            partitions.make([NOVEMBER])
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)
