"""Traces of files: what azure, mooncake and servegen write, as calls.

Rates have CSV columns ``client,t_s,requests_per_s`` in equal steps. When they last two weeks or more, the first week is only
learnt from. The other formats are those of ``replay.traces``.
"""

import csv
import gzip
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

from marketplace.gateway.replay.traces import GZIP_MAGIC, BadTrace, name_of, read_trace
from marketplace.gateway.savings.calls import MS, Call, Trace
from marketplace.gateway.savings.scenario import Scenario

RATE_COLUMNS = ("client", "t_s", "requests_per_s")
WEEK_MS = 7 * 24 * 3_600_000
MINUTE_MS = 60_000
# A Monday: traces of rates tell no date, and a week has to begin somewhere.
STARTS_AT = datetime(2026, 11, 2, tzinfo=UTC)


def read(path: Path, *, scenario: Scenario, limit: int | None = None) -> Trace:
    """Read a trace of any of the formats. Raises BadTrace, and OSError when the file cannot be opened."""
    with _opened(path) as lines:
        header = next(csv.reader([lines.readline()]), [])
    if set(RATE_COLUMNS) <= set(header):
        return _rates(path, scenario)
    return _requests(path, limit)


def _requests(path: Path, limit: int | None) -> Trace:
    rows = read_trace(path, limit=limit)
    calls = tuple(
        Call(row.after // MS, row.input_tokens, row.output_tokens, blocks=row.blocks) for row in rows
    )
    length_ms = calls[-1].after_ms + 1
    return Trace(
        name_of(path),
        calls,
        STARTS_AT,
        step_ms=MINUTE_MS,
        length_ms=-(-length_ms // MINUTE_MS) * MINUTE_MS,
        has_prompts=any(call.blocks for call in calls),
    )


def _rates(path: Path, scenario: Scenario) -> Trace:
    found: list[tuple[int, str, Decimal]] = []
    with _opened(path) as lines:
        for line, row in enumerate(csv.DictReader(lines), start=2):
            try:
                found.append((int(row["t_s"]), row["client"], Decimal(row["requests_per_s"])))
            except (TypeError, ValueError, InvalidOperation) as error:
                raise BadTrace(path, line, f"is no time and rate: {row}") from error
    times = sorted({at for at, _, _ in found})
    if len(times) < 2:
        raise BadTrace(path, 2, "there are no two windows in it")
    step_s = times[1] - times[0]
    length_ms = (times[-1] - times[0] + step_s) * 1000
    calls = tuple(
        Call((at - times[0]) * 1000, scenario.input_tokens, scenario.output_tokens, count, client=client)
        for at, client, rate in sorted(found)
        if (count := int((rate * step_s).to_integral_value(ROUND_HALF_UP)))
    )
    return Trace(
        name_of(path),
        calls,
        STARTS_AT,
        step_ms=step_s * 1000,
        length_ms=length_ms,
        judged_from_ms=WEEK_MS if length_ms >= 2 * WEEK_MS else 0,
        has_tokens=False,
        is_rates=True,
        notes=("The first week is only learnt from; the rest is judged.",)
        if length_ms >= 2 * WEEK_MS
        else (),
    )


def _opened(path: Path) -> TextIO:
    with path.open("rb") as raw:
        is_zipped = raw.read(2) == GZIP_MAGIC
    return gzip.open(path, "rt", encoding="utf-8-sig") if is_zipped else path.open(encoding="utf-8-sig")
