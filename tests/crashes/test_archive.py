"""SIGKILL at every step of archiving a month and of restoring it: the events are in the table or in the archive, once."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from metering import archive, ingest, partitions, periods, restoring, rollups
from metering.attribution import Dimensions
from metering.models import ArchivedPeriod, UsageEvent
from tests.crashes.archiving import kill_at_every_step
from tests.factories import NOW
from tests.metering.conftest import app, make_usage, who

__all__ = ["app", "who"]
pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

SEPTEMBER = date(2025, 9, 1)


@pytest.fixture
def month(who: Dimensions) -> date:
    """A closed month of five events, in the only partition."""
    partitions.make([SEPTEMBER])
    at = datetime(2025, 9, 10, tzinfo=UTC)
    ingest.record([make_usage(who, f"e{number}", at=at, tokens=number) for number in range(5)], at=NOW)
    with transaction.atomic():
        periods.close(SEPTEMBER, at=NOW)
    return SEPTEMBER


def all_events() -> list[dict[str, Any]]:
    return list(UsageEvent.objects.order_by("event_id").values())


class TestKills:
    def test_while_archiving_leave_a_month_that_can_be_archived(self, month: date, tmp_path: Path) -> None:
        before = all_events()

        for step in kill_at_every_step(
            "archive", period=month, at=NOW, folder=tmp_path, is_done=self._is_archived
        ):
            assert all_events() == ([] if self._is_archived() else before), step
            assert rollups.totals()[0] == rollups.totals()[1], step

        assert step > 40
        self._expect_whole_archive(tmp_path)
        assert all_events() == []
        restoring.restore(month, at=NOW)
        assert all_events() == before

    def test_while_restoring_leave_a_month_that_can_be_restored(self, month: date, tmp_path: Path) -> None:
        before = all_events()
        archive.archive(month, at=NOW, folder=tmp_path, made_by="test")

        for step in kill_at_every_step(
            "restore", period=month, at=NOW, folder=tmp_path, is_done=lambda: not self._is_archived()
        ):
            assert all_events() == ([] if self._is_archived() else before), step
            assert rollups.totals()[0] == rollups.totals()[1], step

        assert step > 40
        assert all_events() == before
        assert partitions.existing() == [month]

    def _is_archived(self) -> bool:
        return ArchivedPeriod.objects.archived().exists()

    def _expect_whole_archive(self, folder: Path) -> None:
        row = ArchivedPeriod.objects.get()
        restoring.check(row)
        assert [path.name for path in folder.iterdir()] == ["month=2025-09"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [partitions.name_of(SEPTEMBER)])
            assert cursor.fetchone() == (None,)
