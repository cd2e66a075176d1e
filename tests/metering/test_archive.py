import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django import Settings

from billing.ledger.verify import verify
from marketplace.core import audit
from metering import (
    archive,
    archive_columns,
    archive_files,
    ingest,
    manifests,
    partitions,
    periods,
    restoring,
    rollups,
)
from metering.archive import ArchiveDiffers, NotArchivable
from metering.attribution import Dimensions
from metering.manifests import ArchiveDamaged
from metering.measures import AMOUNTS, Measures
from metering.models import ArchivedPeriod, EventKey, UsageEvent, UsageRollup
from metering.partitions import EventsBusy, PeriodArchived
from metering.rating import Quantities
from metering.restoring import NotArchived
from metering.staging import EVENT_COLUMNS
from metering.tasks import archive_events
from tests.factories import NOW
from tests.metering.conftest import make_usage

SEPTEMBER = date(2025, 9, 1)
# The first and the last instant of the month.
FIRST = datetime(2025, 9, 1, tzinfo=UTC)
LAST = datetime(2025, 9, 30, 23, 59, 59, 999_999, tzinfo=UTC)
STRANGE = 'a,"b"\n\\N\té'


@pytest.fixture
def month(who: Dimensions) -> date:
    """A closed month of three events, and one event of the present.

    ====  =====  ======  ========  =========================================================
    id    input  output  latency   cost at 0.20, 0.02 for cached input, and 0.60 per million
    ====  =====  ======  ========  =========================================================
    e1      480       0    100 ms  0.000096
    e2    1,000     500  not told  all input cached: 0.00002 + 0.0003 = 0.00032
    a,…       0       0      0 ms  0
    ====  =====  ======  ========  =========================================================
    """
    partitions.make([SEPTEMBER])
    ingest.record(
        [
            make_usage(who, "e1", at=FIRST, latency_ms=100, tags={"k": STRANGE, "empty": ""}),
            make_usage(
                who._replace(feature="night"),
                "e2",
                at=LAST,
                quantities=Quantities(input_tokens=1000, output_tokens=500, cached_input_tokens=1000),
                provider_cost=Decimal("0.000500000000000001"),
                is_estimated=True,
            ),
            make_usage(who, STRANGE, at=FIRST + timedelta(hours=1), tokens=0, latency_ms=0),
            make_usage(who, "now"),
        ],
        at=NOW,
    )
    with transaction.atomic():
        periods.close(SEPTEMBER, at=NOW)
    return SEPTEMBER


def archived(period: date, folder: Path) -> ArchivedPeriod:
    return archive.archive(period, at=NOW, folder=folder, made_by="9.9")


def all_events() -> list[dict[str, Any]]:
    return list(UsageEvent.objects.order_by("app_id", "occurred_at", "event_id").values())


class TestArchive:
    def test_takes_the_events_and_leaves_roll_ups_and_ids(self, month: date, tmp_path: Path) -> None:
        before = list(UsageRollup.objects.order_by("hour").values())

        row = archived(month, tmp_path)

        assert [event["event_id"] for event in all_events()] == ["now"]
        assert month not in partitions.existing()
        assert list(UsageRollup.objects.order_by("hour").values()) == before
        assert EventKey.objects.count() == 4
        assert (row.period, row.archived_at, row.restored_at) == (month, NOW, None)
        (entry,) = audit.history(row)
        assert (entry.action, entry.new["events"]) == ("metering.period.archived", 3)

    def test_tells_all_in_a_manifest(self, month: date, tmp_path: Path) -> None:
        archived(month, tmp_path)

        row = ArchivedPeriod.objects.get()
        folder = tmp_path / "month=2025-09"
        told = json.loads((folder / "manifest.json").read_bytes())
        assert told == row.manifest
        assert (told["format"], told["schema_version"], told["made_by"]) == (
            "halfpenny-usage-events",
            1,
            "9.9",
        )
        assert (told["period"], told["made_at"], told["rows"]) == ("2025-09-01", "2026-11-15T12:00:00Z", 3)
        assert (told["first_at"], told["last_at"]) == ("2025-09-01T00:00:00Z", "2025-09-30T23:59:59.999999Z")
        # 480 + 1,000 + 0 input tokens; 0.000096 + 0.00032
        amounts = {name: Decimal(told["sums"]["USD"].pop(name)) for name in AMOUNTS}
        assert amounts == {
            "cost": Decimal("0.000416"),
            "provider_cost": Decimal("0.000500000000000001"),
            "compared_cost": Decimal("0.00032"),
        }
        assert told["sums"]["USD"] == {
            "events": 3, "requests": 3, "input_tokens": 1480, "cached_input_tokens": 1000, "cache_write_tokens": 0,
            "output_tokens": 500, "reasoning_tokens": 0, "duration_ms": 0, "latency_ms": 100, "latency_events": 2,
            "provider_cost_events": 1,
        }  # fmt: skip
        (file,) = told["files"]
        path = folder / file["name"]
        assert (file["rows"], file["size_bytes"]) == (3, path.stat().st_size)
        assert file["sha256"] == manifests.digest(path)
        assert {column["name"]: column["type"] for column in told["columns"]}["cost"] == "decimal128(38, 18)"

    def test_writes_what_any_engine_reads_without_our_database(self, month: date, tmp_path: Path) -> None:
        archived(month, tmp_path)

        engine = duckdb.connect()
        files = f"read_parquet('{tmp_path}/month=*/*.parquet', hive_partitioning = true)"
        rows = engine.execute(
            "SELECT event_id, epoch_us(occurred_at), app, owner_team, organization, team, cost_center, plan, environment, model, "
            f"feature, input_tokens, cost, currency, provider_cost, tags, month FROM {files} ORDER BY occurred_at"
        ).fetchall()

        names = ("where2eat", "team-ux", "demo", "team-ops", "CC-100")
        assert [(row[0], row[2:7], row[8:11]) for row in rows] == [
            ("e1", names, ("production", "llm-8b", "")),
            (STRANGE, names, ("production", "llm-8b", "")),
            ("e2", names, ("production", "llm-8b", "night")),
        ]
        # 1 September 2025 is 1,756,684,800 s after 1970, and September has 2,592,000 s
        assert [row[1] - 1_756_684_800_000_000 for row in rows] == [0, 3_600_000_000, 2_591_999_999_999]
        assert [row[11:15] for row in rows] == [
            (480, Decimal("0.000096"), "USD", None),
            (0, Decimal(0), "USD", None),
            (1000, Decimal("0.00032"), "USD", Decimal("0.000500000000000001")),
        ]
        assert [json.loads(row[15]) if row[15] else None for row in rows] == [
            {"k": STRANGE, "empty": ""},
            None,
            None,
        ]
        types = dict(
            engine.execute(
                f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {files})"
            ).fetchall()
        )
        assert (types["cost"], types["occurred_at"], types["period"]) == (
            "DECIMAL(38,18)", "TIMESTAMP WITH TIME ZONE", "DATE",
        )  # fmt: skip
        compressed = engine.execute(
            f"SELECT DISTINCT compression FROM parquet_metadata('{tmp_path}/month=2025-09/part-0001.parquet')"
        )
        assert compressed.fetchall() == [("ZSTD",)]

    def test_writes_large_months_in_groups_and_files(
        self, month: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive, "ROWS_IN_GROUP", 1)
        monkeypatch.setattr(archive_files, "MOST_ROWS_IN_FILE", 2)
        before = all_events()

        row = archived(month, tmp_path)

        files = manifests.parse(row.manifest).files
        assert [(file.name, file.rows) for file in files] == [
            ("part-0001.parquet", 2),
            ("part-0002.parquet", 1),
        ]
        restoring.restore(month, at=NOW)
        assert all_events() == before

    def test_writes_a_month_without_events(self, month: date, tmp_path: Path) -> None:
        august = date(2025, 8, 1)
        partitions.make([august])
        with transaction.atomic():
            periods.close(august, at=NOW)

        row = archived(august, tmp_path)

        manifest = manifests.parse(row.manifest)
        assert (manifest.rows, manifest.sums, manifest.first_at) == (0, {}, None)
        assert [file.rows for file in manifest.files] == [0]
        restoring.restore(august, at=NOW)
        assert august in partitions.existing()

    def test_knows_every_column_of_events(self) -> None:
        columns = [field.column for field in UsageEvent._meta.concrete_fields]

        assert sorted(archive_columns.OF_EVENT) == sorted(columns) == sorted(EVENT_COLUMNS.split(", "))

    def test_still_knows_the_ids(self, month: date, who: Dimensions, tmp_path: Path) -> None:
        archived(month, tmp_path)

        same = make_usage(who, "e1", latency_ms=100, tags={"k": STRANGE, "empty": ""})
        receipts = ingest.record([same, make_usage(who, "e2"), make_usage(who, "e3", at=NOW)], at=NOW)

        assert [receipt.status for receipt in receipts] == ["duplicate", "conflict", "accepted"]

    def test_takes_only_closed_months_too_old_for_late_usage(self, month: date, tmp_path: Path) -> None:
        october = date(2026, 10, 1)
        partitions.make([date(2025, 10, 1), october])
        with transaction.atomic():
            periods.close(october, at=NOW)

        for period, why in (
            (date(2025, 10, 1), "it is not closed"),
            (october, "late usage of it is still taken"),
            (date(2024, 1, 1), "it has no partition"),
        ):
            with pytest.raises(NotArchivable, match=why):
                archived(period, tmp_path)
        archived(month, tmp_path)
        with pytest.raises(PeriodArchived):
            archived(month, tmp_path)

    def test_drops_nothing_that_differs_from_the_roll_ups(self, month: date, tmp_path: Path) -> None:
        UsageRollup.objects.filter(hour=FIRST).update(cost=Decimal("0.5"))
        before = all_events()

        with pytest.raises(ArchiveDiffers, match="2025-09: 2 roll-ups are not"):
            archived(month, tmp_path)

        self._expect_nothing_happened(before)

    def test_drops_nothing_that_is_not_in_the_files(
        self, month: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = archive._groups
        monkeypatch.setattr(archive, "ROWS_IN_GROUP", 1)
        monkeypatch.setattr(archive, "_groups", lambda period: list(whole(period))[1:])
        before = all_events()

        with pytest.raises(ArchiveDiffers, match="the files hold 2 of 3 events"):
            archived(month, tmp_path)

        self._expect_nothing_happened(before)

    def test_drops_nothing_when_an_event_comes_in_meanwhile(
        self, month: date, who: Dimensions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def publish(draft: Path, folder: Path, period: date) -> Path:
            ingest.record([make_usage(who, "late", at=FIRST)], at=NOW)
            return draft

        monkeypatch.setattr(archive, "_publish", publish)
        before = all_events()

        with pytest.raises(ArchiveDiffers, match="an event came in while"):
            archived(month, tmp_path)

        self._expect_nothing_happened(before)

    def test_drops_nothing_when_files_cannot_be_written(self, month: date, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        before = all_events()

        with pytest.raises(OSError):
            archived(month, tmp_path / "file")

        self._expect_nothing_happened(before)

    def test_tries_again_when_somebody_reads_events(
        self, month: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = self._busy(monkeypatch, times=4)

        archived(month, tmp_path)

        assert len(tries) == 5
        assert UsageEvent.objects.count() == 1

    def test_gives_up_when_somebody_reads_events_for_long(
        self, month: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._busy(monkeypatch, times=5)
        before = all_events()

        with pytest.raises(EventsBusy):
            archived(month, tmp_path)

        self._expect_nothing_happened(before)

    def _busy(self, monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[date]:
        drop, tries = partitions.drop, []

        def drop_later(period: date) -> None:
            tries.append(period)
            if len(tries) <= times:
                raise EventsBusy
            drop(period)

        monkeypatch.setattr(partitions, "drop", drop_later)
        return tries

    def _expect_nothing_happened(self, before: list[dict[str, Any]]) -> None:
        assert all_events() == before
        assert SEPTEMBER in partitions.existing()
        assert not ArchivedPeriod.objects.exists()


class TestCandidates:
    def test_are_closed_months_before_the_retention(self, month: date, tmp_path: Path) -> None:
        partitions.make([date(2025, 8, 1), date(2025, 10, 1)])

        # in November 2026, thirteen full months are October 2025 to October 2026
        found = archive.candidates(at=NOW, keep_months=13)

        assert [(one.period, one.why_not) for one in found] == [
            (date(2025, 8, 1), "it is not closed"),
            (month, ""),
        ]

    def test_are_not_what_somebody_restored(self, month: date, tmp_path: Path) -> None:
        archived(month, tmp_path)
        restoring.restore(month, at=NOW)

        assert archive.candidates(at=NOW, keep_months=13) == []


class TestRestore:
    def test_brings_back_exactly_what_was_there(self, month: date, tmp_path: Path) -> None:
        before = all_events()
        archived(month, tmp_path)

        row = restoring.restore(month, at=NOW)

        assert all_events() == before
        assert month in partitions.existing()
        assert rollups.differences() == []
        assert row.restored_at == NOW
        assert [entry.action for entry in audit.history(row)][-1] == "metering.period.restored"

    def test_takes_late_events_along(self, month: date, who: Dimensions, tmp_path: Path) -> None:
        archived(month, tmp_path)
        ingest.record([make_usage(who, "late", at=FIRST, tokens=7)], at=NOW)

        restoring.restore(month, at=NOW)
        again = archived(month, tmp_path)

        assert manifests.parse(again.manifest).rows == 4
        assert again.restored_at is None
        assert UsageEvent.objects.count() == 1
        restoring.restore(month, at=NOW)
        assert UsageEvent.objects.count() == 5
        assert rollups.differences() == []

    def test_finds_files_that_were_moved(self, month: date, tmp_path: Path) -> None:
        archived(month, tmp_path / "here")
        shutil.move(tmp_path / "here/month=2025-09", tmp_path / "there")

        with pytest.raises(ArchiveDamaged, match="cannot be read"):
            restoring.restore(month, at=NOW)
        restoring.restore(month, at=NOW, folder=tmp_path / "there")

        assert UsageEvent.objects.count() == 4

    @pytest.mark.parametrize("name", ["part-0001.parquet", "manifest.json"])
    def test_refuses_files_that_are_not_those_that_were_written(
        self, month: date, tmp_path: Path, name: str
    ) -> None:
        archived(month, tmp_path)
        path = tmp_path / "month=2025-09" / name
        path.write_bytes(path.read_bytes() + b" ")

        with pytest.raises(ArchiveDamaged, match=f"{name} is not the"):
            restoring.restore(month, at=NOW)

        assert month not in partitions.existing()
        assert ArchivedPeriod.objects.archived().exists()

    def test_refuses_a_month_that_is_not_archived(self, month: date, tmp_path: Path) -> None:
        with pytest.raises(NotArchived, match="2025-09 are not archived"):
            restoring.restore(month, at=NOW)

        archived(month, tmp_path)
        restoring.restore(month, at=NOW)
        with pytest.raises(NotArchived):
            restoring.restore(month, at=NOW)


class TestCheck:
    def test_reads_files_back(self, month: date, tmp_path: Path) -> None:
        row = archived(month, tmp_path)

        assert restoring.check(row) == manifests.parse(row.manifest)

        (tmp_path / "month=2025-09/part-0001.parquet").unlink()
        with pytest.raises(ArchiveDamaged, match=r"part-0001.parquet cannot be read"):
            restoring.check(row)


class TestRollups:
    def test_agree_with_the_archive(self, month: date, who: Dimensions, tmp_path: Path) -> None:
        before = rollups.totals()
        archived(month, tmp_path)

        assert rollups.totals() == before
        assert (rollups.differences(), rollups.differing_days()) == ([], [])
        (compared,) = rollups.compare_archived()
        assert compared.expected == compared.found
        assert (compared.period, compared.currency, compared.found.events) == (month, "USD", 3)
        assert [verdict.name for verdict in verify() if not verdict.is_ok] == []

        ingest.record([make_usage(who, "late", at=FIRST, tokens=7)], at=NOW)

        assert rollups.compare_archived()[0].expected.input_tokens == 1487
        assert [verdict.name for verdict in verify() if not verdict.is_ok] == []

    def test_are_not_rebuilt_without_their_events(self, month: date, who: Dimensions, tmp_path: Path) -> None:
        """October is billed for late usage of September, whose events are gone, and for its own."""
        ingest.record(
            [
                make_usage(who, "late", at=LAST, latency_ms=10),
                make_usage(who, "own", at=datetime(2025, 10, 2, tzinfo=UTC), latency_ms=10),
            ],
            at=NOW,
        )
        archived(month, tmp_path)
        before = list(UsageRollup.objects.order_by("hour", "attribution_id", "period").values())

        with pytest.raises(PeriodArchived):
            rollups.rebuild(period=month)
        rollups.rebuild(period=date(2025, 10, 1))
        rollups.rebuild()

        assert list(UsageRollup.objects.order_by("hour", "attribution_id", "period").values()) == before
        # e1 and the strange one in hours of their own, e2 and the late one in the last hour, "own", "now"
        assert len(before) == 6
        assert [verdict.name for verdict in verify() if not verdict.is_ok] == []

    def test_that_were_changed_after_archiving_are_found(self, month: date, tmp_path: Path) -> None:
        archived(month, tmp_path)
        UsageRollup.objects.filter(hour=FIRST).update(cost=Decimal("0.5"), input_tokens=1)

        (compared,) = rollups.compare_archived()
        assert compared.differing == ["input tokens"]
        assert (compared.expected.cost, compared.found.cost) == (Decimal("0.000416"), Decimal("0.50032"))
        assert "Roll-ups of archived months are what was archived" in [
            verdict.name for verdict in verify() if not verdict.is_ok
        ]
        assert isinstance(compared.found, Measures)


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command in November 2026 with an archive of its own; gives what it writes."""
    settings.ARCHIVE_DIR = str(tmp_path)
    settings.EVENT_RETENTION_MONTHS = 13
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)

    def run(*arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    return run


class TestCommands:
    def test_archive_check_and_restore(self, month: date, run: Callable[..., str], tmp_path: Path) -> None:
        before = all_events()

        assert run("archive_events", "--dry-run") == "2025-09: 3 events would be archived.\n"
        assert all_events() == before
        assert "2025-09: 3 events in " in run("archive_events")
        assert run("archive_events") == "No month is old enough to be archived.\n"
        assert run("archive_events", "--check") == "2025-09: 3 events in 1 files, as written.\n"
        assert "2025-09: 3 events are in the table again." in run("restore_events", "2025-09")
        assert all_events() == before
        assert run("archive_events") == "No month is old enough to be archived.\n"
        assert "2025-09: 3 events in " in run("archive_events", "--period", "2025-09")
        run("restore_events", str(tmp_path / "month=2025-09/manifest.json"))
        assert all_events() == before

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("archive_events", "--period", "2025-9"), "must be a month"),
            (("restore_events", "2025-08"), "The events of 2025-08 are not archived."),
            (("restore_events", "no/such/manifest.json"), "is no manifest of archived events"),
        ],
    )
    def test_refuse_with_a_sentence(
        self, month: date, run: Callable[..., str], arguments: tuple[str, ...], sentence: str
    ) -> None:
        with pytest.raises(CommandError, match=sentence):
            run(*arguments)

    def test_need_a_folder_that_stays(self, run: Callable[..., str], settings: Settings, db: None) -> None:
        settings.ARCHIVE_DIR = ""

        with pytest.raises(CommandError, match="HALFPENNY_ARCHIVE_DIR"):
            run("archive_events")


class TestArchiveEvents:
    def test_archives_what_is_old_enough(self, month: date, run: Callable[..., str]) -> None:
        archive_events()

        assert [row.period for row in ArchivedPeriod.objects.archived()] == [month]

    @pytest.mark.parametrize(("name", "value"), [("EVENT_RETENTION_MONTHS", 0), ("ARCHIVE_DIR", "")])
    def test_leaves_all_in_the_database_when_it_should(
        self, month: date, run: Callable[..., str], settings: Settings, name: str, value: object
    ) -> None:
        setattr(settings, name, value)

        archive_events()

        assert UsageEvent.objects.count() == 4

    def test_goes_on_with_other_months_when_one_differs(self, month: date, run: Callable[..., str]) -> None:
        august = date(2025, 8, 1)
        partitions.make([august])
        with transaction.atomic():
            periods.close(august, at=NOW)
        UsageRollup.objects.create(
            hour=datetime(2025, 8, 1, tzinfo=UTC), period=august, currency="USD", events=1,
            attribution_id=UsageRollup.objects.values_list("attribution_id", flat=True)[0],
        )  # fmt: skip

        archive_events()

        assert [row.period for row in ArchivedPeriod.objects.archived()] == [month]
