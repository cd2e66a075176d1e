"""Prove that events, roll-ups, invoices and books agree: `manage.py verify`."""

from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from billing.ledger.verify import Finding, Verdict, verify
from metering import partitions


class Command(BaseCommand):
    help = (
        "Compare events, roll-ups, invoice lines and books to the last unit; exit code 1 on any difference."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        verdicts = verify()
        console = Console(file=cast(TextIO, self.stdout), width=150, highlight=False)
        console.print(_table(verdicts))
        wrong = [(one.name, found) for one in verdicts for found in one.findings if not found.is_ok]
        for name, finding in wrong:
            for difference in finding.differences:
                console.print(f"{name}: {finding.what}: {difference}", markup=False)
        for hint in partitions.hints(at=timezone.now()):
            self.stdout.write(hint)
        if wrong:
            self.stdout.write(f"{len(wrong)} comparisons differ.")
            raise SystemExit(1)
        count = sum(len(one.findings) for one in verdicts)
        self.stdout.write(f"All {count} comparisons agree to the last unit.")


def _table(verdicts: list[Verdict]) -> Table:
    table = Table("Check", "Compared", title="Do the totals agree?")
    table.add_column("Expected", justify="right")
    table.add_column("Found", justify="right")
    table.add_column("")
    for verdict in verdicts:
        for place, finding in enumerate(verdict.findings):
            table.add_row("" if place else verdict.name, *_cells(finding))
    return table


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    return finding.what, finding.expected, finding.found, "ok" if finding.is_ok else "DIFFERS"
