"""CSV for machines: UTF-8, commas, dots, no thousands separators, times in UTC.

Text that a spreadsheet would take for a formula is defused with a leading apostrophe; numbers stay numbers.
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from io import StringIO

Cell = str | int | Decimal | datetime | None
CONTENT_TYPE = "text/csv; charset=utf-8"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> Iterator[str]:
    """Write a heading and rows, a line at a time."""
    yield _line(columns)
    for row in rows:
        yield _line(_text(cell) for cell in row)


def _line(cells: Iterable[str]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, int):
        return str(cell)
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
