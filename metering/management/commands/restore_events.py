"""Bring archived events back: `manage.py restore_events 2025-09`, or with the path of a manifest."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketplace.core.errors import HalfpennyError
from marketplace.core.periods import parse_month
from metering import manifests, restoring


class Command(BaseCommand):
    help = "Load an archived month into the table of events again, exactly as it was; the files stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "month", metavar="YYYY-MM|MANIFEST", help="the month; or its manifest, where files were moved"
        )

    def handle(self, *args: Any, month: str, **options: Any) -> None:
        try:
            folder, name = _found(month)
            row = restoring.restore(parse_month(name).starts_at.date(), at=timezone.now(), folder=folder)
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        rows = manifests.parse(row.manifest).rows
        self.stdout.write(
            f"{row}: {rows:,} events are in the table again. They stay until "
            f"`manage.py archive_events --period {row}`."
        )


def _found(month: str) -> tuple[Path | None, str]:
    """Tell the path of a manifest from a month; which month it is stands in the manifest."""
    path = Path(month)
    if path.suffix != ".json":
        return None, month
    try:
        return path.parent, str(json.loads(path.read_bytes())["period"])[:7]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} is no manifest of archived events.") from error
