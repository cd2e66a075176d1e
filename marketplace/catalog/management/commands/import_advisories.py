"""Import published flaws in packages: `manage.py import_advisories all.zip`. What the check of dependencies looks up."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketplace.catalog import advisories
from marketplace.core.errors import HalfpennyError


class Command(BaseCommand):
    help = "Import a file of OSV records for PyPI: a zip of JSON files, a JSON list, or JSON lines."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="such as all.zip of OSV's bucket for PyPI")
        parser.add_argument("--source", default="osv.dev, PyPI", help="where it comes from")

    def handle(self, *args: Any, file: Path, source: str, **options: Any) -> None:
        try:
            made = advisories.import_file(file.read_bytes(), source=source, at=timezone.now(), by=None)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{made.advisories_count:,} advisories, known until {made.as_of:%Y-%m-%d %H:%M} UTC."
        )
