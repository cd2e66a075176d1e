"""Events in Parquet files. Whoever imports this module imports pyarrow, which takes 60 MB: only where it is used."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from metering.archive_columns import COLUMNS, OF_EVENT, SCHEMA_VERSION, Kind
from metering.manifests import Described, sync_folder
from metering.measures import MEASURES, Measures

MOST_ROWS_IN_FILE = 10_000_000
TYPES: dict[Kind, pa.DataType] = {
    "int": pa.int64(),
    "amount": pa.decimal128(38, 18),
    "time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "text": pa.string(),
    "bool": pa.bool_(),
}
SCHEMA = pa.schema(
    [pa.field(column.name, TYPES[column.kind], metadata={"about": column.about}) for column in COLUMNS],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)
# Times arrive as microseconds since 1970: there is no text to misread.
ARRIVING = {field.name: pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in SCHEMA}

KEY = ["hour", "attribution_id", "period", "currency"]
# What a file has as it is; the other measures are counts of rows, or sums over some of them.
SUMMED = [
    name
    for name in MEASURES
    if name not in ("events", "latency_events", "provider_cost_events", "compared_cost")
]
NOTHING_IS_ZERO = pc.ScalarAggregateOptions(min_count=0)


@dataclass(frozen=True)
class Content:
    """What files hold: sums by currency; and by hour, attribution and period, as CSV in the order of roll-ups."""

    rows: int
    first_at: datetime | None
    last_at: datetime | None
    sums: dict[str, Measures]
    rollups: bytes


def described() -> tuple[Described, ...]:
    """Return the columns in words."""
    return tuple(Described(column.name, str(TYPES[column.kind]), column.about) for column in COLUMNS)


def write(groups: Iterable[bytes], *, folder: Path) -> Iterator[tuple[Path, int]]:
    """Write groups of rows into files of a folder; yields each file with its rows once it is on disk.

    A group is CSV in the order of COLUMNS, with times in microseconds. Without any there is one file without rows.
    """
    tables = (_table(group) for group in groups)
    table: pa.Table | None = next(tables, SCHEMA.empty_table())
    number = 0
    while table is not None:
        number += 1
        path = folder / f"part-{number:04}.parquet"
        rows, table = _write_one(path, table, tables)
        yield path, rows
    sync_folder(folder)


def content(paths: Iterable[Path]) -> Content:
    """Read files back and sum them up, one group of rows after another."""
    rows = 0
    times: list[datetime] = []
    parts = []
    for table in (table for path in paths for table in _groups(path, ["occurred_at", *KEY[1:], *SUMMED])):
        rows += table.num_rows
        times += pc.min_max(table["occurred_at"]).as_py().values()
        parts.append(_sums(table))
    if not parts:
        return Content(0, None, None, {}, b"")
    rollups = _total(pa.concat_tables(parts), by=KEY)
    sums = {row.pop("currency"): Measures(**row) for row in _total(rollups, by=["currency"]).to_pylist()}
    in_order = rollups.select([*KEY[:3], *MEASURES, "currency"])
    return Content(rows, min(times), max(times), sums, _csv(in_order))


def event_rows(path: Path) -> Iterator[bytes]:
    """Give the rows of a file as CSV in the order of OF_EVENT, one group of rows after another."""
    for table in _groups(path, list(OF_EVENT)):
        yield _csv(table)


def _table(group: bytes) -> pa.Table:
    """Read CSV as PostgreSQL writes it: a quoted empty text is empty, an unquoted one is null."""
    table = csv.read_csv(
        pa.py_buffer(group),
        read_options=csv.ReadOptions(column_names=list(ARRIVING)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=ARRIVING,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    return table.cast(SCHEMA)


def _write_one(path: Path, table: pa.Table, more: Iterator[pa.Table]) -> tuple[int, pa.Table | None]:
    """Write one file; returns its rows, and the table with which the next one begins."""
    rows = 0
    following: pa.Table | None = table
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            while following is not None and rows < MOST_ROWS_IN_FILE:
                writer.write_table(following)
                rows += following.num_rows
                following = next(more, None)
        file.flush()
        os.fsync(file.fileno())
    return rows, following


def _groups(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=columns)
            if table.num_rows:
                yield table.select(columns)


def _sums(table: pa.Table) -> pa.Table:
    compared = pc.if_else(
        pc.is_valid(table["provider_cost"]), table["cost"], pa.scalar(None, TYPES["amount"])
    )
    hours = table.append_column("hour", pc.floor_temporal(table["occurred_at"], unit="hour"))
    summed = (
        hours.append_column("compared_cost", compared)
        .group_by(KEY)
        .aggregate(
            [
                ([], "count_all"),
                *((name, "sum", NOTHING_IS_ZERO) for name in (*SUMMED, "compared_cost")),
                ("latency_ms", "count"),
                ("provider_cost", "count"),
            ]
        )
    )
    names = {
        "count_all": "events",
        "latency_ms_count": "latency_events",
        "provider_cost_count": "provider_cost_events",
        "compared_cost_sum": "compared_cost",
    }
    return _named(summed, names | {f"{name}_sum": name for name in SUMMED})


def _total(parts: pa.Table, *, by: list[str]) -> pa.Table:
    summed = parts.group_by(by).aggregate([(name, "sum") for name in MEASURES])
    return _named(summed, {f"{name}_sum": name for name in MEASURES})


def _named(table: pa.Table, names: dict[str, str]) -> pa.Table:
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def _csv(table: pa.Table) -> bytes:
    """Write CSV as PostgreSQL reads it: every text quoted, null as nothing."""
    written = BytesIO()
    csv.write_csv(table, written, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return written.getvalue()
