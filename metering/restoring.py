"""Archived events come back, exactly as they were; and the archive is looked after."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from marketplace.core import audit
from marketplace.core.errors import Conflict
from metering import archive_columns, manifests, partitions, rollups
from metering.archive import ArchiveDiffers, one_at_a_time, patiently
from metering.manifests import Manifest
from metering.measures import Measures
from metering.models import ArchivedPeriod


class NotArchived(Conflict):
    """The events of a month are not in the archive."""

    code = "period_not_archived"

    def __init__(self, period: date) -> None:
        self.period = period
        super().__init__(f"The events of {period:%Y-%m} are not archived.")


def restore(period: date, *, at: datetime, folder: Path | None = None, by: Any = None) -> ArchivedPeriod:
    """Bring a month's events back into the table exactly as they were; the files stay.

    ``folder`` is where the manifest is when it is no longer where it was written. The month stays until somebody
    archives it again. Raises NotArchived, ArchiveDamaged, ArchiveDiffers, ArchiveBusy, EventsBusy.
    """
    with transaction.atomic():
        one_at_a_time()
        row = ArchivedPeriod.objects.archived().filter(period=period).first()
        if row is None:
            raise NotArchived(period)
        source = folder or Path(row.folder)
        manifest = manifests.read(source / manifests.NAME, sha256=row.manifest_sha256)
        _require_readable(manifest)
        partitions.create_apart(period)
        _load(manifest, folder=source)
        _compare(period, rollups.sums_of_events(partitions.name_of(period)), manifest.sums, "what was read")
        patiently(lambda: partitions.attach(period))
        row.restored_at = at
        row.save(update_fields=["restored_at"])
        audit.record("metering.period.restored", subject=row, at=at, by=by, new={"events": manifest.rows})
    return row


def check(row: ArchivedPeriod) -> Manifest:
    """Read an archived month's files: they are those that were written, and sum up to what the manifest says.

    Raises ArchiveDamaged, ArchiveDiffers.
    """
    from metering import archive_files  # noqa: PLC0415  # pyarrow takes memory that no other work needs

    folder = Path(row.folder)
    manifest = manifests.read(folder / manifests.NAME, sha256=row.manifest_sha256)
    found = archive_files.content(manifests.check_file(folder, file) for file in manifest.files)
    _compare(row.period, found.sums, manifest.sums, "what is in the files")
    return manifest


def _require_readable(manifest: Manifest) -> None:
    if manifest.schema_version != archive_columns.SCHEMA_VERSION:
        why = f"has schema version {manifest.schema_version}; this program reads {archive_columns.SCHEMA_VERSION}"
        raise ArchiveDiffers(manifest.period, f"its manifest {why}")


def _load(manifest: Manifest, *, folder: Path) -> None:
    from metering import archive_files  # noqa: PLC0415  # as above

    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(partitions.name_of(manifest.period)), sql.SQL(", ".join(archive_columns.OF_EVENT))
    )
    for file in manifest.files:
        path = manifests.check_file(folder, file)
        for rows in archive_files.event_rows(path):
            with (
                connection.cursor() as cursor,
                connection.wrap_database_errors,
                cursor.copy(statement) as copy,
            ):
                copy.write(rows)


def _compare(
    period: date, found: Mapping[str, Measures], expected: Mapping[str, Measures], what: str
) -> None:
    if found != expected:
        raise ArchiveDiffers(period, f"{what} is not what the manifest says")
