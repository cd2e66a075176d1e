"""Writing events: handed over whole, then counted once, stored and summed by one statement.

Few of them are an argument of that statement, which the connection has planned; many are copied into a table of the session.

The same columns and sums are what roll-ups are rebuilt from, so rebuilt and incremental ones cannot differ.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isqrt
from typing import Any

from django.db import IntegrityError, connection

from marketplace.core import prepared
from marketplace.core.json import encode

NULL = "\\N"
EVENT_COLUMNS = (
    "app_id, event_id, occurred_at, received_at, period, attribution_id, requests, input_tokens, "
    "cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, latency_ms, cost, currency, "
    "rate_card_id, instance_rate_id, provider_cost, is_estimated, tags, corrects"
)
# What the transaction decides comes first, so that the rest of a line can be written before there is one.
COLUMNS = "seq, received_at, period, attribution_id, " + EVENT_COLUMNS.replace(
    "received_at, period, attribution_id, ", "", 1
).replace("event_id, ", "event_id, content_hash, ", 1)
_TYPES = (
    "seq int, app_id bigint, event_id text, content_hash bytea, occurred_at timestamptz, received_at timestamptz, "
    "period date, attribution_id bigint, requests bigint, input_tokens bigint, cached_input_tokens bigint, "
    "cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint, duration_ms bigint, latency_ms bigint, "
    "cost numeric, currency text, rate_card_id bigint, instance_rate_id bigint, provider_cost numeric, "
    "is_estimated boolean, tags jsonb, corrects text"
)
CREATE = f"CREATE TEMP TABLE IF NOT EXISTS metering_staged ({_TYPES}) ON COMMIT DELETE ROWS; DELETE FROM metering_staged"  # noqa: S608

ROLLUP_MEASURES = (
    "events", "requests", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "duration_ms", "latency_ms", "latency_events", "cost", "provider_cost",
    "provider_cost_events", "compared_cost",
)  # fmt: skip
ROLLUP_COLUMNS = f"hour, attribution_id, period, {', '.join(ROLLUP_MEASURES)}, currency"
ROLLUP_SUMS = (
    "count(*), sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), "
    "sum(output_tokens), sum(reasoning_tokens), sum(duration_ms), coalesce(sum(latency_ms), 0), count(latency_ms), "
    "sum(cost), coalesce(sum(provider_cost), 0), count(provider_cost), "
    "coalesce(sum(cost) FILTER (WHERE provider_cost IS NOT NULL), 0)"
)
ROLLUP_KEY = "date_trunc('hour', occurred_at, 'UTC'), attribution_id, period"
DAILY_COLUMNS = ROLLUP_COLUMNS.replace("hour, ", "day, ", 1)
# Days are sums of hours, so that each event is looked at once.
DAILY_SUMS = (
    "SELECT (hour AT TIME ZONE 'UTC')::date, attribution_id, period, "  # noqa: S608
    f"{', '.join(f'sum({name})' for name in ROLLUP_MEASURES)}, currency FROM {{source}} GROUP BY 1, 2, 3, currency"
)
HISTOGRAM_COLUMNS = "day, attribution_id, bucket, events"


def _at_least_quarter_power(quarters: int) -> int:
    """Return the smallest whole number that is not below 2^(quarters/4)."""
    root = isqrt(isqrt(2**quarters))
    return root if root**4 == 2**quarters else root + 1


# Bucket b begins at 2^(b/4) ms, four for each doubling: see metering.latencies, which reads percentiles off them. The
# starts as whole milliseconds, so that PostgreSQL searches a list and no logarithm of a power of two is off by a hair.
_BUCKET_STARTS = ",".join(str(_at_least_quarter_power(quarters)) for quarters in range(1, 4 * 40 + 1))
HISTOGRAM = (
    "SELECT (occurred_at AT TIME ZONE 'UTC')::date, attribution_id, "  # noqa: S608
    f"width_bucket(latency_ms, '{{{{{_BUCKET_STARTS}}}}}'::bigint[])::smallint, count(*) "
    "FROM {source} WHERE latency_ms IS NOT NULL {also}GROUP BY 1, 2, 3"
)


def _added_to(table: str) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ROLLUP_MEASURES)


_KEYS = (
    "INSERT INTO metering_eventkey (app_id, event_id, content_hash, occurred_at) "
    "SELECT app_id, event_id, content_hash, occurred_at FROM metering_staged ORDER BY seq"
)


def _stored_from(source: str) -> str:
    """Write the parts of a WITH that store the events of a source and their sums."""
    return (
        f"stored AS (INSERT INTO metering_usageevent ({EVENT_COLUMNS}) "  # noqa: S608
        f"SELECT {EVENT_COLUMNS} FROM {source}), "
        f"hours ({ROLLUP_COLUMNS}) AS MATERIALIZED ("
        f"SELECT {ROLLUP_KEY}, {ROLLUP_SUMS}, min(currency) FROM {source} GROUP BY 1, 2, 3), "
        f"summed AS (INSERT INTO metering_usagerollup ({ROLLUP_COLUMNS}) "
        f"SELECT {ROLLUP_COLUMNS} FROM hours ORDER BY 1, 2, 3 "
        f"ON CONFLICT (hour, attribution_id, period) DO UPDATE SET {_added_to('metering_usagerollup')}), "
        f"by_day AS (INSERT INTO metering_dailyrollup ({DAILY_COLUMNS}) "
        f"{DAILY_SUMS.format(source='hours')} ORDER BY 1, 2, 3, currency "
        f"ON CONFLICT (day, attribution_id, period, currency) DO UPDATE SET {_added_to('metering_dailyrollup')}), "
        f"timed AS (INSERT INTO metering_latencyhistogram ({HISTOGRAM_COLUMNS}) "
        f"{HISTOGRAM.format(source=source, also='')} ORDER BY 1, 2, 3 ON CONFLICT (day, attribution_id, bucket) "
        "DO UPDATE SET events = metering_latencyhistogram.events + excluded.events)"
    )


# Ids first, since the query reads from them; the other writes follow in an order that is always the same. Each is sorted
# by its key (events are staged in order of their ids), so that processes that work at once never wait in a circle.
_INSERT_PARTS = (
    f"added AS ({_KEYS} ON CONFLICT (app_id, event_id) DO NOTHING RETURNING app_id, event_id), "  # noqa: S608
    "fresh AS (SELECT s.* FROM metering_staged s JOIN added USING (app_id, event_id)), "
    f"{_stored_from('fresh')} "
    "SELECT s.seq FROM metering_staged s LEFT JOIN added USING (app_id, event_id) WHERE added.event_id IS NULL"
)
_INSERT = f"WITH {_INSERT_PARTS}"
_ARE_KNOWN = "SELECT EXISTS (SELECT FROM metering_staged JOIN metering_eventkey USING (app_id, event_id))"
# The same where every id is new, in the same order. Three statements in one trip.
_INSERT_NEW = f"SAVEPOINT all_new; {_KEYS}; WITH {_stored_from('metering_staged')} SELECT"
# From so many events on, looking whether all ids are new costs less than storing them as if some were not: what is
# stored need not be kept aside and joined. Most batches are new; who resends pays for the look.
MANY = 500

# Up to so many events an argument costs less than a table that is filled and emptied.
FEW = 200
_ARGUMENT = (
    "metering_staged AS MATERIALIZED (SELECT "  # noqa: S608
    f"{COLUMNS.replace(' tags,', ' tags::jsonb,')} "
    f"FROM json_to_recordset(%s::json) AS s ({_TYPES.replace('tags jsonb', 'tags text')}))"
)
_INSERT_FEW = f"WITH {_ARGUMENT}, {_INSERT_PARTS}"
_SAME = (
    "SELECT s.seq FROM metering_staged s JOIN metering_eventkey k USING (app_id, event_id) "
    "WHERE s.seq = ANY(%s) AND k.content_hash = s.content_hash"
)
_SAME_OF_FEW = f"WITH {_ARGUMENT} {_SAME}"
_NAMES = COLUMNS.split(", ")

_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def text(value: str) -> str:
    """Write a text as COPY reads it."""
    return value.translate(_ESCAPES) if _SPECIAL.search(value) else value


def store(lines: Sequence[str]) -> dict[int, bool]:
    """Store the events of these lines of COLUMNS, each numbered, that are new, with their sums.

    Of those whose ids were there, returns by number whether they say the same as the first of their id: that is looked up by a
    statement of its own, so that it sees what a parallel transaction committed.
    """
    if len(lines) <= FEW:
        argument = _argument(lines)
        known = [seq for (seq,) in prepared.run(_INSERT_FEW, [argument])]
        same = prepared.run(_SAME_OF_FEW, [argument, known]) if known else []
    else:
        copy(lines)
        known = sorted(insert(len(lines)))
        same = _same(known) if known else []
    are_same = {seq for (seq,) in same}
    return {seq: seq in are_same for seq in known}


def _argument(lines: Iterable[str]) -> str:
    """Write lines of COPY as an array of objects, all values texts."""
    return encode([_record(line) for line in lines])


def _record(line: str) -> dict[str, str]:
    values = zip(_NAMES, line[:-1].split("\t"), strict=True)
    return {name: _meant(value) if "\\" in value else value for name, value in values if value != NULL}


def _meant(value: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANT[found[1]], value)


def copy(lines: Iterable[str]) -> None:
    """Copy lines of COLUMNS into the session's staging table, in place of what was there."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
        # Django gives cursor.copy as it is; its errors must be Django's like all others.
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY metering_staged ({COLUMNS}) FROM STDIN") as rows,
        ):
            rows.write("".join(lines))


def select(statement: str, parameters: Sequence[Any] | Mapping[str, Any]) -> None:
    """Put the rows of a query, with the columns of COLUMNS, into the staging table, in place of what was there."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute(f"INSERT INTO metering_staged ({COLUMNS}) {statement}", parameters)


def insert(count: int) -> set[int]:
    """Store what is new of so many staged events, with its sums; returns the numbers of those whose ids were there."""
    with connection.cursor() as cursor:
        if count >= MANY and _insert_all(cursor):
            return set()
        cursor.execute(_INSERT)
        return {seq for (seq,) in cursor.fetchall()}


def _insert_all(cursor: Any) -> bool:
    """Store all staged events; False, and nothing is stored, when one of their ids is known."""
    cursor.execute(_ARE_KNOWN)
    if cursor.fetchone() == (True,):
        return False
    try:
        cursor.execute(_INSERT_NEW)
    except IntegrityError:
        # Another process stored one of them after the look.
        cursor.execute("ROLLBACK TO SAVEPOINT all_new")
        return False
    return True


def _same(known: list[int]) -> list[tuple[int]]:
    with connection.cursor() as cursor:
        cursor.execute(_SAME, [known])
        return cursor.fetchall()
