"""Partitions that are made, archived and restored while usage of their months comes in."""

import contextlib
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.db import connection, transaction

from metering import archive, partitions, periods, restoring, rollups
from metering.attribution import Dimensions
from metering.models import EventKey, UsageEvent
from tests.races.processes import Processes, until
from tests.races.recording import NOVEMBER

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

OLD = date(2025, 9, 1)
MONTHS = [date(2026, month, 1) for month in (8, 9, 10, 11)]


def where_events_stand() -> Counter[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM metering_usageevent GROUP BY 1")
        return Counter(dict(cursor.fetchall()))


class TestMake:
    def test_while_usage_of_the_same_months_comes_in(self, processes: Processes, who: Dimensions) -> None:
        """Each process sends the same 600 events of four months; two make the partitions in the middle of it."""
        told = processes.run(
            "tests.races.recording:record_and_make",
            [
                {"who": who, "count": 600, "months": MONTHS, "seed": seed, "makes": seed < 2}
                for seed in range(4)
            ],
        )

        accepted = [event_id for each in told for event_id in each["accepted"]]
        made = [period for each in told for period in each["made"]]
        assert len(accepted) == len(set(accepted)) == 600
        assert sorted(made) == MONTHS
        assert UsageEvent.objects.count() == EventKey.objects.count() == 600
        # event n occurred in month n mod 4
        assert where_events_stand() == {partitions.name_of(period): 150 for period in MONTHS}
        assert (rollups.differences(), rollups.differing_days()) == ([], [])


class TestArchive:
    def test_while_usage_of_other_months_and_late_usage_comes_in(
        self, processes: Processes, who: Dimensions, tmp_path: Path
    ) -> None:
        partitions.make([OLD, *MONTHS])
        with transaction.atomic():
            periods.close(OLD, at=NOVEMBER)

        recording = processes.start(
            "tests.races.recording:record_until_archived",
            [{"who": who, "old": datetime(2025, 9, 15, tzinfo=UTC), "seed": seed} for seed in range(4)],
        )
        until(lambda: UsageEvent.objects.count() >= 400)
        for _ in range(2):
            self._archive(tmp_path)
            restoring.restore(OLD, at=NOVEMBER)
        self._archive(tmp_path)
        told = sum((future.result(60) for future in recording), Counter())

        assert UsageEvent.objects.count() + self._in_archive() == EventKey.objects.count() == told["accepted"]
        assert (rollups.differences(), rollups.differing_days()) == ([], [])
        for compared in rollups.compare_archived():
            assert compared.expected == compared.found
        events, rolled = rollups.totals()
        assert events == rolled

    def _archive(self, folder: Path) -> None:
        """Archive the month as soon as no event comes in between."""
        while True:
            with contextlib.suppress(archive.ArchiveDiffers):
                archive.archive(OLD, at=NOVEMBER, folder=folder, made_by="test")
                return

    def _in_archive(self) -> int:
        return sum(measures.events for sums in rollups.archived_sums().values() for measures in sums.values())
