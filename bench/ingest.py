"""POST /meter in batches of 1,000 events, deduplicated, rated, rolled up, counted and committed."""

import json
import time
from datetime import UTC, datetime

from bench import _world
from bench._load import drive
from bench._report import percentile, tell
from bench._serve import application

BATCH = 1_000


def main() -> None:
    _world.set_up()
    world = _world.make()
    bare = _copy_alone(world)
    for workers in (1, 2):
        with application(workers=workers) as url:
            rate, latencies = drive(
                f"{url}/meter",
                _batch,
                headers={"Authorization": f"Bearer {world.app_key}"},
                callers=4 * workers,
            )
        tell(
            f"ingest, {workers} process(es)",
            rate * BATCH,
            "events/s",
            yardstick=bare,
            of="bare COPY, one connection",
        )
        print(f"  a batch p50 {percentile(latencies, 50):.0f} ms, p99 {percentile(latencies, 99):.0f} ms")


def _batch(number: int) -> bytes:
    """Number a batch; written so that the load generator takes as little of the machine as it can."""
    return _BODY.replace(b"{number}", b"%x" % number)


_BODY = json.dumps(
    [
        {
            "id": f"{{number}}-{index}",
            "app_id": "measured",
            "model": "llm-8b",
            "input_tokens": 200 + index,
            "output_tokens": index % 300,
            "latency_ms": 200 + index % 700,
        }
        for index in range(BATCH)
    ]
).encode()


def _copy_alone(world: _world.World, *, count: int = 200_000) -> float:
    """COPY the rows of the same events into a table of the same columns and indexes, in batches as large."""
    from django.db import connection  # noqa: PLC0415

    from metering.staging import EVENT_COLUMNS  # noqa: PLC0415

    at = datetime.now(UTC).isoformat()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_event (LIKE metering_usageevent INCLUDING ALL)")
        began = time.perf_counter()
        for start in range(0, count, BATCH):
            with cursor.copy(f"COPY bench_event ({EVENT_COLUMNS}) FROM STDIN") as copy:
                copy.write(_rows(world, start, at))
        took = time.perf_counter() - began
        cursor.execute("DROP TABLE bench_event")
    return count / took


def _rows(world: _world.World, start: int, at: str) -> str:
    null = "\\N"
    return "".join(
        f"{world.app_id}\t{n:x}\t{at}\t{at}\t2026-11-01\t1\t1\t{n % 1000}\t0\t0\t{n % 300}\t0\t0\t{n % 700}\t"
        f"0.{n:018d}\tUSD\t1\t{null}\t{null}\tf\t{null}\t{null}\n"
        for n in range(start, start + BATCH)
    )


if __name__ == "__main__":
    main()
