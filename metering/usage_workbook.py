"""A usage report as a workbook: the rows and the total of the CSV as numbers, and a sheet that says what they are.

A spreadsheet counts in binary floating point with about 15 digits. So amounts stand there twice: rounded to twelve digits as
a number to calculate with, and exactly, as text, to compare with.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from io import BytesIO
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from marketplace.core.csv import Cell
from marketplace.core.errors import InvalidInput
from marketplace.core.money import to_text
from metering.usage_files import columns, csv_rows
from metering.usage_reports import UsageReport

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_ROWS = 20_000
EXACT_COLUMN = "cost_exact"
_ROUNDED = Context(prec=12)
_WIDTHS = {"starts_at": 18, EXACT_COLUMN: 24}
_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def to_workbook(report: UsageReport, *, asked: Mapping[str, str], made_at: datetime) -> bytes:
    """Write a report; ``asked`` are the parameters of the question as the API takes them. Raises InvalidInput."""
    if len(report.rows) > MOST_ROWS:
        message = (
            f"a workbook takes at most {MOST_ROWS:,} rows, and there are {len(report.rows):,}; ask for csv"
        )
        raise InvalidInput("format", message, limit=MOST_ROWS, code="too_much")
    file = BytesIO()
    with Workbook(file, _OPTIONS) as book:
        book.set_properties({"title": "Usage", "created": made_at.replace(tzinfo=None)})
        _Sheet(book, "Usage").write_report(report)
        about = book.add_worksheet("About")
        about.set_column(0, 0, 24)
        about.set_column(1, 1, 80)
        for number, (name, value) in enumerate(_about(report, asked, made_at)):
            about.write_string(number, 0, name)
            about.write_string(number, 1, value)
    return file.getvalue()


class _Sheet:
    """The rows of a report, each cell as what it is."""

    def __init__(self, book: Workbook, name: str) -> None:
        self.sheet: Worksheet = book.add_worksheet(name)
        self.heading = book.add_format({"bold": True, "bottom": 1})
        self.total = book.add_format({"bold": True, "top": 1})
        self.time = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})

    def write_report(self, report: UsageReport) -> None:
        names = columns(report)
        cost = names.index("cost")
        for place, name in enumerate((*names, EXACT_COLUMN)):
            self.sheet.write_string(0, place, name, self.heading)
            self.sheet.set_column(place, place, _WIDTHS.get(name, 14))
        self.sheet.freeze_panes(1, 0)
        rows = list(csv_rows(report))
        for number, row in enumerate(rows, start=1):
            is_total = number == len(rows)
            self._write(number, (*row, to_text(Decimal(str(row[cost])))), is_total=is_total)
        self.sheet.autofilter(0, 0, max(len(rows) - 1, 1), len(names))

    def _write(self, number: int, cells: Iterable[Cell], *, is_total: bool) -> None:
        style = self.total if is_total else None
        for place, cell in enumerate(cells):
            if cell is None or cell == "":
                self.sheet.write_blank(number, place, None, style)
            elif isinstance(cell, datetime):
                self.sheet.write_datetime(number, place, cell.replace(tzinfo=None), self.time)
            elif isinstance(cell, str):
                self.sheet.write_string(number, place, cell, style)
            else:
                self.sheet.write_number(number, place, _ROUNDED.create_decimal(cell), style)


def _about(report: UsageReport, asked: Mapping[str, str], made_at: datetime) -> list[tuple[str, str]]:
    before = report.before
    return [
        ("From", _time(report.from_at)),
        ("To (excluded)", _time(report.to_at)),
        *([("Compared with", f"{_time(before.from_at)} to {_time(before.to_at)}")] if before else []),
        ("Time zone", "UTC"),
        ("Currency", report.currency or "nothing was used"),
        ("Amounts", "Unrounded cost. The column cost is rounded to 12 digits, cost_exact is exact."),
        ("Newest usage", _time(report.newest_hour) if report.newest_hour else "none"),
        ("Made at", _time(made_at)),
        *((f"Query: {name}", value) for name, value in asked.items()),
    ]


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
