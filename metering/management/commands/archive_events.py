"""Write old events to files and drop them: `manage.py archive_events`. `--dry-run` says what it would do."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketplace.core.errors import HalfpennyError
from marketplace.core.periods import parse_month
from metering import archive, manifests, partitions, restoring
from metering.models import ArchivedPeriod


class Command(BaseCommand):
    help = (
        "Write the events of closed months that are older than HALFPENNY_EVENT_RETENTION_MONTHS to Parquet files, "
        "prove that all are there, and drop them from the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--period", metavar="YYYY-MM", help="this closed month, however old it is")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be archived, change nothing"
        )
        parser.add_argument(
            "--check", action="store_true", help="read all archived months back, change nothing"
        )

    def handle(
        self,
        *args: Any,
        period: str | None = None,
        dry_run: bool = False,
        check: bool = False,
        **options: Any,
    ) -> None:
        try:
            if check:
                self._check()
            else:
                self._archive(period, dry_run=dry_run)
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"The archive cannot be written: {error}") from error

    def _archive(self, period: str | None, *, dry_run: bool) -> None:
        if not settings.ARCHIVE_DIR:
            raise CommandError("Set HALFPENNY_ARCHIVE_DIR to a folder that is kept as well as the database.")
        found = self._candidates(period)
        if not found:
            self.stdout.write("No month is old enough to be archived.")
        for one in found:
            if one.why_not:
                self.stdout.write(f"{one.period:%Y-%m}: not archived: {one.why_not}.")
            elif dry_run:
                count = partitions.count(one.period)
                self.stdout.write(f"{one.period:%Y-%m}: {count:,} events would be archived.")
            else:
                self._archive_one(one)

    def _candidates(self, period: str | None) -> list[archive.Candidate]:
        now = timezone.now()
        if period:
            return [archive.candidate(parse_month(period).starts_at.date(), at=now)]
        if not settings.EVENT_RETENTION_MONTHS:
            raise CommandError("Events are kept for ever: HALFPENNY_EVENT_RETENTION_MONTHS is 0.")
        return archive.candidates(at=now, keep_months=settings.EVENT_RETENTION_MONTHS)

    def _archive_one(self, one: archive.Candidate) -> None:
        row = archive.archive(
            one.period, at=timezone.now(), folder=Path(settings.ARCHIVE_DIR), made_by=settings.VERSION
        )
        manifest = manifests.parse(row.manifest)
        self.stdout.write(
            f"{row}: {manifest.rows:,} events in {manifest.size_bytes:,} bytes at {row.folder}, "
            "read back, and dropped from the database."
        )

    def _check(self) -> None:
        rows = ArchivedPeriod.objects.archived().order_by("period")
        for row in rows:
            manifest = restoring.check(row)
            self.stdout.write(f"{row}: {manifest.rows:,} events in {len(manifest.files)} files, as written.")
        if not rows:
            self.stdout.write("No month is archived.")
