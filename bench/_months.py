"""Months of usage made by the database itself, so that fifty million events take minutes; roll-ups as they really are."""

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from bench import _world

SMALL, LARGE = date(2026, 9, 1), date(2026, 10, 1)
ROWS_A_STATEMENT = 1_000_000
# Row, key, and the log of both; measured, and more than it is.
BYTES_AN_EVENT = 500
RESERVE_BYTES = 8 * 2**30
FEWEST = 20_000

_INSERT = """
INSERT INTO {partition} (
    app_id, event_id, occurred_at, received_at, period, attribution_id, requests, input_tokens, cached_input_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, latency_ms, cost, currency, is_estimated)
SELECT s.app_id, 'e-' || lpad(to_hex(n), 10, '0'), at, at + interval '300 ms', %(period)s, s.attribution_id, 1,
    input, input / 4, 0, output, 0, 0, 100 + (h2 & 2047), (input * 2 + output * 6) * 0.0000001, 'USD', false
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
CROSS JOIN LATERAL (SELECT hashint8(n) & 2147483647 AS h1, hashint8(n + 1000000000000) & 2147483647 AS h2,
    %(starts_at)s::timestamptz + (%(ends_at)s::timestamptz - %(starts_at)s::timestamptz) * (n::float8 / %(events)s) AS at) x
CROSS JOIN LATERAL (SELECT 200 + (h1 & 1023) AS input, 20 + (h2 >> 11 & 511) AS output) y
JOIN bench_stream s ON s.number = floor({streams} * power(h1 / 2147483648.0::float8, 2))::int
"""


@dataclass(frozen=True)
class Months:
    """A month with ``events`` events and one with a tenth of them."""

    events: int
    rollups: dict[date, int]


def arguments(description: str | None) -> argparse.Namespace:
    """Read how much is asked for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="in the large month (default: 1,000,000)"
    )
    parser.add_argument(
        "--apps", type=int, help="each used by five teams (default: one for each 100,000 events, to 100)"
    )
    asked = parser.parse_args()
    if asked.apps is None:
        # With few events for each hour and team, roll-ups would be nearly as many as events.
        asked.apps = min(max(asked.events // 100_000, 1), 100)
    if asked.events < FEWEST or asked.apps < 1:
        parser.error(f"at least {FEWEST:,} events and one app")
    return asked


def make(*, events: int, apps: int) -> Months:
    """Make apps with five subscriptions each, some used far more than others, and a large and a small month."""
    _require_space(events)
    _world.set_up()
    from django.db import connection  # noqa: PLC0415  # Django must be set up first

    from metering import partitions, rollups  # noqa: PLC0415
    from metering.models import UsageRollup  # noqa: PLC0415

    streams = _streams(apps)
    partitions.make([SMALL, LARGE])
    began = time.perf_counter()
    for period, count in ((SMALL, events // 10), (LARGE, events)):
        _fill(period, events=count, streams=streams)
    rollups.rebuild()
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE metering_usageevent, metering_usagerollup, metering_dailyrollup, metering_latencyhistogram"
        )
        cursor.execute("CHECKPOINT")
    counts = {period: UsageRollup.objects.filter(period=period).count() for period in (SMALL, LARGE)}
    print(f"made {events * 11 // 10:,} events in {time.perf_counter() - began:.0f} s", flush=True)
    return Months(events, counts)


def seconds(work: Callable[[], object], *, times: int) -> float:
    """Return the median time that some work takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _require_space(events: int) -> None:
    from marketplace.config import paths  # noqa: PLC0415

    needed = events * 11 // 10 * BYTES_AN_EVENT + RESERVE_BYTES
    free = shutil.disk_usage(paths.data_dir()).free
    if free < needed:
        raise SystemExit(
            f"{events:,} events need {needed / 2**30:.0f} GiB of disk, and there are {free / 2**30:.0f}: ask for fewer."
        )


def _streams(apps: int) -> int:
    """Make who uses what; returns how many streams of usage there are."""
    from django.db import connection, transaction  # noqa: PLC0415

    from metering import attribution  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    with transaction.atomic():
        organization = factories.make_organization(is_platform=True)
        owner = factories.make_team(organization)
        users = [factories.make_team(organization) for _ in range(5)]
        person = factories.make_user()
        dimensions: list[Any] = []
        for number in range(apps):
            app = factories.make_listed_app(owner, slug=f"app-{number}")
            dimensions += [
                _world._dimensions(app, factories.make_subscription(app, team, created_by=person))
                for team in users
            ]
        ids = attribution.resolve(dimensions)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE bench_stream (number int PRIMARY KEY, app_id bigint, attribution_id bigint)"
        )
        cursor.executemany(
            "INSERT INTO bench_stream VALUES (%s, %s, %s)",
            [(number, one.app_id, ids[one]) for number, one in enumerate(dimensions)],
        )
        cursor.execute("ANALYZE bench_stream")
    return len(dimensions)


def _fill(period: date, *, events: int, streams: int) -> None:
    """Insert in order of time, as usage comes, so many events at once."""
    from django.db import connection  # noqa: PLC0415

    from metering import partitions  # noqa: PLC0415
    from metering.periods import bounds  # noqa: PLC0415

    starts_at, ends_at = bounds(period)
    statement = _INSERT.format(partition=partitions.name_of(period), streams=streams)
    for first in range(0, events, ROWS_A_STATEMENT):
        last = min(first + ROWS_A_STATEMENT, events) - 1
        values = {
            "period": period, "first": first, "last": last, "starts_at": starts_at, "ends_at": ends_at, "events": events,
        }  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
        if (last + 1) % (5 * ROWS_A_STATEMENT) == 0:
            print(f"  {last + 1:,} events of {period:%Y-%m}", flush=True)
