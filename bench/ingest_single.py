"""POST /meter with one event a request, committed before the answer."""

import json

from bench import _world
from bench._load import drive
from bench._report import percentile, tell
from bench._serve import application, asgi


def main() -> None:
    _world.set_up()
    from django.conf import settings  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    world = _world.make()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_event (LIKE metering_usageevent INCLUDING ALL)")
    with asgi("bench._bare:empty") as url:
        ceiling, _ = drive(url + "/meter", _event)
    with asgi("bench._bare:insert_each", DSN=settings.DATABASE_URL) as url:
        insert_each, _ = drive(url + "/meter", _event)
    with application(workers=1) as url:
        rate, latencies = drive(url + "/meter", _event, headers={"Authorization": f"Bearer {world.app_key}"})
    tell(
        "ingest_single, 64 callers, 1 process",
        rate,
        "requests/s",
        yardstick=insert_each,
        of="INSERT a request",
    )
    tell("ingest_single, 64 callers, 1 process", rate, "requests/s", yardstick=ceiling, of="empty ASGI")
    print(f"  p50 {percentile(latencies, 50):.1f} ms, p99 {percentile(latencies, 99):.1f} ms")


def _event(number: int) -> bytes:
    return json.dumps(
        {"id": f"s{number:x}", "app_id": "measured", "model": "llm-8b", "tokens": number % 1000}
    ).encode()


if __name__ == "__main__":
    main()
