"""Old events leave the database: a closed month is written to files, proved, and only then dropped.

It is one transaction, so a month is in the table or in the archive, whenever a process is killed. Files are on disk
before the transaction commits; those of one that never did are written again. Roll-ups and the ids of events stay.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from marketplace.core import audit
from marketplace.core.errors import Conflict
from metering import archive_columns, manifests, partitions, rollups
from metering.manifests import Manifest
from metering.models import ArchivedPeriod, ClosedPeriod
from metering.partitions import EventsBusy, PeriodArchived
from metering.periods import bounds, month, next_month
from metering.reports import MAX_AGE

# Any number will do, as long as all that archive and restore use the same.
ARCHIVE_LOCK = 7002
ROWS_IN_GROUP = 200_000
TRIES = 5


class NotArchivable(Conflict):
    """A month must be closed, and too old for late reports, before its events can leave."""

    code = "period_not_archivable"

    def __init__(self, period: date, why: str) -> None:
        self.period = period
        super().__init__(f"The events of {period:%Y-%m} cannot be archived: {why}.")


class ArchiveDiffers(Conflict):
    """Files and database do not say the same: nothing was dropped, nothing was brought back."""

    code = "archive_differs"

    def __init__(self, period: date, what: str) -> None:
        self.period = period
        super().__init__(f"{period:%Y-%m}: {what}; nothing was changed.")


class ArchiveBusy(Conflict):
    """One process archives or restores at a time."""

    code = "archive_busy"

    def __init__(self) -> None:
        super().__init__("Another process archives or restores events at this moment.")


@dataclass(frozen=True)
class Candidate:
    """A month that has come to its age; ``why_not`` says what still keeps it."""

    period: date
    why_not: str


def candidates(*, at: datetime, keep_months: int) -> list[Candidate]:
    """Return the months in the table that are older than so many full months, oldest first; those that somebody
    restored are left alone."""
    before = next_month(month(at), by=-keep_months)
    restored = set(ArchivedPeriod.objects.exclude(restored_at=None).values_list("period", flat=True))
    return [
        Candidate(period, _why_not(period, at=at))
        for period in partitions.existing()
        if period < before and period not in restored
    ]


def candidate(period: date, *, at: datetime) -> Candidate:
    """Say of one month, however old, whether it can be archived. Raises PeriodArchived."""
    if period in partitions.archived():
        raise PeriodArchived(period)
    return Candidate(period, _why_not(period, at=at))


def archive(period: date, *, at: datetime, folder: Path, made_by: str, by: Any = None) -> ArchivedPeriod:
    """Write a month's events into ``folder``, prove that they are all there, and drop them from the database.

    ``made_by`` is the version that goes into the manifest. Usage of other months is recorded meanwhile. Raises
    PeriodArchived, NotArchivable, ArchiveDiffers, ArchiveBusy, EventsBusy, and OSError when files cannot be written;
    the month is then as it was.
    """
    with transaction.atomic():
        one_at_a_time()
        if why_not := candidate(period, at=at).why_not:
            raise NotArchivable(period, why_not)
        written = _write(period, at=at, folder=folder, made_by=made_by)
        patiently(lambda: _drop(period, rows=written.manifest.rows))
        row, _ = ArchivedPeriod.objects.update_or_create(
            period=period,
            defaults={
                "archived_at": at,
                "restored_at": None,
                "folder": str(written.folder),
                "manifest": written.manifest.as_json(),
                "manifest_sha256": written.sha256,
            },
        )
        new = {"events": written.manifest.rows, "manifest": written.sha256}
        audit.record("metering.period.archived", subject=row, at=at, by=by, new=new)
    return row


@dataclass(frozen=True)
class _Written:
    """Files of a month that are on disk and proved."""

    folder: Path
    manifest: Manifest
    sha256: str


def one_at_a_time() -> None:
    """Refuse with ArchiveBusy when another transaction archives or restores."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ARCHIVE_LOCK])
        if not cursor.fetchone()[0]:
            raise ArchiveBusy


def _why_not(period: date, *, at: datetime) -> str:
    if period not in partitions.existing():
        return "it has no partition"
    if bounds(period)[1] + MAX_AGE > at:
        return "late usage of it is still taken"
    return "" if ClosedPeriod.objects.filter(period=period).exists() else "it is not closed"


def _write(period: date, *, at: datetime, folder: Path, made_by: str) -> _Written:
    """Write, read back, prove and describe; what an earlier attempt left behind makes room."""
    from metering import archive_files  # noqa: PLC0415  # pyarrow takes memory that no other work needs

    draft = folder / f".draft-{period:%Y-%m}"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    manifests.sync_folder(folder.parent)
    files = tuple(
        manifests.File(path.name, path.stat().st_size, rows, manifests.digest(path))
        for path, rows in archive_files.write(_groups(period), folder=draft)
    )
    found = archive_files.content(manifests.check_file(draft, file) for file in files)
    _prove(period, found.rows, found.rollups)
    manifest = Manifest(
        format=manifests.FORMAT,
        schema_version=archive_columns.SCHEMA_VERSION,
        period=period,
        rows=found.rows,
        first_at=found.first_at,
        last_at=found.last_at,
        sums=found.sums,
        files=files,
        columns=archive_files.described(),
        made_at=at,
        made_by=made_by,
    )
    encoded = manifest.encode()
    manifests.write_durably(draft / manifests.NAME, encoded)
    manifests.sync_folder(draft)
    return _Written(_publish(draft, folder, period), manifest, hashlib.sha256(encoded).hexdigest())


def _groups(period: date) -> Iterator[bytes]:
    """Give a month's events as CSV, so many at a time, in the order of their key.

    Each group is a statement of its own, so that no long snapshot keeps old rows of busy tables alive. An event that
    came between two of them is noticed before anything is dropped.
    """
    table = sql.Identifier(partitions.name_of(period))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS metering_archive_names")
        cursor.execute("CREATE TEMP TABLE metering_archive_names ON COMMIT DROP AS " + archive_columns.NAMES)
        cursor.execute("ANALYZE metering_archive_names")
        last: tuple[Any, ...] | None = None
        is_more = True
        while is_more:
            first, last = last, _key_after(cursor, table, last)
            is_more = last is not None
            with cursor.copy(_selection(table, after=first, up_to=last)) as copied:
                if group := b"".join(copied):
                    yield group


def _key_after(cursor: Any, table: sql.Identifier, key: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Return the key of the last event of the group after a key; None when the group is the last one."""
    statement = sql.SQL(
        "SELECT app_id, occurred_at, event_id FROM {table} WHERE {after} "
        "ORDER BY app_id, occurred_at, event_id OFFSET {rows} LIMIT 1"
    ).format(table=table, after=_beyond(">", key), rows=sql.Literal(ROWS_IN_GROUP - 1))
    cursor.execute(statement)
    found: tuple[Any, ...] | None = cursor.fetchone()
    return found


def _selection(
    table: sql.Identifier, *, after: tuple[Any, ...] | None, up_to: tuple[Any, ...] | None
) -> sql.Composed:
    columns = [
        f"(extract(epoch FROM {column.source}) * 1000000)::bigint" if column.kind == "time" else column.source
        for column in archive_columns.COLUMNS
    ]
    return sql.SQL(
        "COPY (SELECT {columns} FROM {table} e JOIN metering_archive_names n USING (attribution_id) "
        "WHERE {after} AND {up_to} ORDER BY e.app_id, e.occurred_at, e.event_id) TO STDOUT (FORMAT csv)"
    ).format(
        columns=sql.SQL(", ".join(columns)),
        table=table,
        after=_beyond(">", after),
        up_to=_beyond("<=", up_to),
    )


def _beyond(sign: str, key: tuple[Any, ...] | None) -> sql.Composable:
    if key is None:
        return sql.SQL("TRUE")
    values = sql.SQL(", ").join(sql.Literal(value) for value in key)
    return sql.SQL("(app_id, occurred_at, event_id) {sign} ({values})").format(
        sign=sql.SQL(sign), values=values
    )


def _prove(period: date, rows: int, summed: bytes) -> None:
    """Raise ArchiveDiffers unless the files hold every event, and sum up to every roll-up of the month."""
    expected = partitions.count(period)
    if rows != expected:
        raise ArchiveDiffers(period, f"the files hold {rows:,} of {expected:,} events")
    if wrong := rollups.differing_from(summed, bounds(period)):
        raise ArchiveDiffers(period, f"{wrong:,} roll-ups are not what the files sum up to: run verify")


def _publish(draft: Path, folder: Path, period: date) -> Path:
    """Give the files of a month their place; what stands there is of an attempt that came to nothing, or of before the
    month was restored."""
    place = folder / f"month={period:%Y-%m}"
    if place.exists():
        shutil.rmtree(place)
    draft.rename(place)
    manifests.sync_folder(folder)
    return place


def _drop(period: date, *, rows: int) -> None:
    """Drop the partition unless an event came into it since it was written."""
    with transaction.atomic(), partitions.impatiently():
        partitions.lock_recording()
        if rollups.events_between(bounds(period)) != rows:
            raise ArchiveDiffers(period, "an event came in while it was archived")
        partitions.drop(period)


def patiently(step: Callable[[], None]) -> None:
    """Try a step again that others were in the way of; between tries, they and recording go on."""
    for _ in range(TRIES - 1):
        try:
            step()
        except EventsBusy:
            continue
        return
    step()
