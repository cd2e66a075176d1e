"""Reading a bank's CSV by a mapping of its columns. Pure."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import StringIO

from billing.bank_statements import (
    MOST_LINES,
    Line,
    Statement,
    Unreadable,
    Wrong,
    made_reference,
    read_date,
    read_minor,
)

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Columns:
    """Headings of the columns; an empty one is not there. `date`, `amount` have to be."""

    date: str = "Date"
    amount: str = "Amount"
    currency: str = "Currency"
    reference: str = "Reference"
    name: str = "Name"
    text: str = "Text"


@dataclass(frozen=True)
class Writing:
    """How the bank writes: days, decimals, and the currency where no column names it."""

    date_form: str = "%Y-%m-%d"
    has_decimal_comma: bool = False
    currency: str = "USD"


class WrongColumns(ValueError):
    """The file has no column with a heading that was named."""

    def __init__(self, missing: list[str], found: list[str]) -> None:
        self.missing = missing
        super().__init__(f"has no column {', '.join(missing)}; its columns are {', '.join(found) or 'none'}")


def read(data: bytes, *, columns: Columns, writing: Writing, account: str = "") -> Statement:
    """Read lines; one that is wrong is told with its line number and leaves the others. Raises WrongColumns."""
    text = _decoded(data)
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text))
    headings = [cell.strip() for cell in next(reader, [])]
    places = _places(headings, columns)
    lines: list[Line] = []
    wrong: list[Wrong] = []
    seen: dict[str, int] = {}
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(lines) + len(wrong) >= MOST_LINES:
            wrong.append(
                Wrong(reader.line_num, f"is beyond the {MOST_LINES:,} lines that are read of a file")
            )
            break
        try:
            lines.append(_line(row, places, reader.line_num, writing, account, seen))
        except Unreadable as error:
            wrong.append(Wrong(reader.line_num, str(error)))
    return Statement(tuple(lines), tuple(wrong))


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _delimiter(text: str) -> str:
    heading = text.partition("\n")[0]
    return max(DELIMITERS, key=heading.count)


def _places(headings: list[str], columns: Columns) -> dict[str, int]:
    by_heading = {heading.casefold(): place for place, heading in enumerate(headings)}
    asked = {one.name: getattr(columns, one.name).strip() for one in fields(columns)}
    places = {
        name: by_heading[heading.casefold()]
        for name, heading in asked.items()
        if heading.casefold() in by_heading
    }
    usual = Columns()
    missing = [
        heading or name
        for name, heading in asked.items()
        if name not in places and (name in ("date", "amount") or heading not in ("", getattr(usual, name)))
    ]
    if missing:
        raise WrongColumns(missing, headings)
    return places


def _line(
    row: list[str],
    places: Mapping[str, int],
    position: int,
    writing: Writing,
    account: str,
    seen: dict[str, int],
) -> Line:
    cells = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
    currency = cells.get("currency", "").upper() or writing.currency
    amount_minor = read_minor(cells["amount"], currency, has_decimal_comma=writing.has_decimal_comma)
    booked_on = read_date(cells["date"], writing.date_form)
    name, text = cells.get("name", "")[:140], cells.get("text", "")[:500]
    said = [f"{booked_on}", f"{amount_minor}", currency, name, text]
    reference = cells.get("reference", "")[:80] or made_reference(said, seen)
    return Line(position, booked_on, amount_minor, currency, reference, name, text, account)
