"""Reading a trace: when each request came, and how many tokens went in and out.

Two formats, told apart by the first line, plain or gzipped:

* CSV with the columns ``TIMESTAMP,ContextTokens,GeneratedTokens`` in any order; times are ISO 8601 (UTC when they name
  no zone). Used by the Azure LLM inference traces.
* JSON lines with ``timestamp`` (milliseconds from the start), ``input_length`` and ``output_length``, and maybe
  ``hash_ids``, the blocks of the prompt. Used by the Mooncake traces.

Further columns and fields are passed over.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TextIO

from marketplace.core.errors import InvalidInput

GZIP_MAGIC = b"\x1f\x8b"
CSV_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
JSON_FIELDS = ("timestamp", "input_length", "output_length")
_SUFFIXES = re.compile(r"(\.(csv|jsonl|json|gz))+$", re.IGNORECASE)
# Seconds have seven decimals in some traces; datetime knows six.
_TOO_FINE = re.compile(r"(\.\d{6})\d+")
# PostgreSQL's bigint would take more; no request has.
MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """A request of the trace: its row (from 0), its time after the first one, its tokens.

    ``blocks`` names the blocks of its prompt where the trace tells them: equal lists are the same prompt, equal
    beginnings the same beginning.
    """

    row: int
    after: timedelta
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()


class BadTrace(InvalidInput):
    """A file that is no trace, or a line of it that cannot be read."""

    code = "bad_trace"

    def __init__(self, path: Path, line: int, why: str) -> None:
        self.path, self.line = path, line
        super().__init__("path", f"{path.name}, line {line}: {why}")


def name_of(path: Path) -> str:
    """Name a trace after its file, without the endings: this is what event ids begin with."""
    return _SUFFIXES.sub("", path.name) or path.name


def read_trace(path: Path, *, limit: int | None = None) -> list[TracedRequest]:
    """Read the first requests of a trace, all without a limit, in order of time.

    Raises BadTrace, and OSError when the file cannot be opened.
    """
    with _opened(path) as lines:
        first = lines.readline()
        if not first.strip():
            raise BadTrace(path, 1, "is empty")
        read = _json_rows if first.lstrip().startswith("{") else _csv_rows
        rows = list(islice(read(path, first, lines), limit))
    if not rows:
        raise BadTrace(path, 2, "there is no request in it")
    begin = min(at for at, _, _, _ in rows)
    requests = [
        TracedRequest(row, at - begin, tokens_in, tokens_out, blocks)
        for row, (at, tokens_in, tokens_out, blocks) in enumerate(rows)
    ]
    return sorted(requests, key=lambda request: request.after)


Row = tuple[datetime, int, int, tuple[int, ...]]


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as raw:
        is_zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        binary = gzip.GzipFile(fileobj=raw) if is_zipped else raw
        yield io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _csv_rows(path: Path, first: str, lines: TextIO) -> Iterator[Row]:
    header = next(csv.reader([first]))
    missing = [name for name in CSV_COLUMNS if name not in header]
    if missing:
        expected = ",".join(CSV_COLUMNS)
        raise BadTrace(
            path, 1, f"is neither JSON nor a header with {expected} ({', '.join(missing)} missing)"
        )
    at, tokens_in, tokens_out = (header.index(name) for name in CSV_COLUMNS)
    for line, row in enumerate(csv.reader(lines), start=2):
        if not row:
            continue
        try:
            yield _instant(row[at]), _tokens(row[tokens_in]), _tokens(row[tokens_out]), ()
        except (IndexError, ValueError) as error:
            raise BadTrace(path, line, str(error)) from error


def _json_rows(path: Path, first: str, lines: TextIO) -> Iterator[Row]:
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    for line, text in enumerate((first, *lines), start=1):
        if not text.strip():
            continue
        try:
            found = json.loads(text.strip())
            at, tokens_in, tokens_out = (found[name] for name in JSON_FIELDS)
            blocks = tuple(map(_tokens, found.get("hash_ids") or ()))
            yield begin + timedelta(milliseconds=_tokens(at)), _tokens(tokens_in), _tokens(tokens_out), blocks
        except KeyError as error:
            raise BadTrace(path, line, f"has no field {error}") from error
        except (TypeError, ValueError) as error:
            raise BadTrace(path, line, str(error)) from error


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(_TOO_FINE.sub(r"\1", text.strip()))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _tokens(value: object) -> int:
    """Read a whole number that is not negative, also written as 512.0."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else _whole(str(value))
    if not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"{value} is no number of tokens or milliseconds")
    return number


def _whole(text: str) -> int:
    whole, _, decimals = text.strip().partition(".")
    if decimals.strip("0"):
        raise ValueError(f"{text!r} is not a whole number")
    return int(whole)
