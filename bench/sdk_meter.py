"""What metering costs the thread of an app, a call: record, a decorated function, and durable ones.

Paced: a thousand calls a second, as an app makes them; the median and the 99th percentile of a call. Flood: as fast as it
goes, which makes the SDK's own threads compete for the interpreter; processor time of the calling thread, and time by the
clock. The server is a process of its own.
"""

import json
import os
import queue
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from openai.types.chat import ChatCompletion

from bench._report import percentile, tell
from bench._serve import asgi
from marketplace.sdk import Meter

PACED_CALLS = 3_000
PACE_S = 0.001
FLOOD_CALLS = 50_000
DURABLE_CALLS = 300

RESPONSE = ChatCompletion.model_validate(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
        "usage": {
            "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
)  # fmt: skip

MAPPING = RESPONSE.model_dump()

Call = Callable[[], object]


def main() -> None:
    with asgi("bench.sdk_meter:receipts") as url, tempfile.TemporaryDirectory() as folder:
        meter = Meter(url, "k", "measured", spool_dir=folder)
        bare = _bare()

        def record() -> object:
            return meter.record(
                model="gpt-5-mini", input_tokens=2006, output_tokens=300, cached_input_tokens=1920
            )

        for name, call in (
            ("record", record),
            ("decorated, a mapping", meter.meter(feature="f")(lambda: MAPPING)),
            ("decorated, a client's object", meter.meter(feature="f")(lambda: RESPONSE)),
        ):
            _tell_paced(name, call, bare)
            _tell_flood(name, call, bare)
            assert meter.flush(60), meter.counts
        meter.close()
        assert meter.counts["dropped"] == meter.counts["pending"] == 0
        _tell_durable(url, folder)


def _bare() -> Call:
    """Do the least: call a function, build the fields of an event, and put them into a queue that a thread empties."""
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def drain() -> None:
        while True:
            waiting.get()

    def put() -> None:
        waiting.put({"model": "gpt-5-mini", "input_tokens": 2006, "output_tokens": 300, "at": time.time_ns()})

    threading.Thread(target=drain, daemon=True).start()
    return put


def _tell_paced(name: str, call: Call, bare: Call) -> None:
    least, ours = _paced(bare), _paced(call)
    tell(
        f"sdk_meter, {name}, 1,000 calls/s, p50",
        percentile(ours, 50), "µs", yardstick=percentile(least, 50), of="dict and queue",
    )  # fmt: skip
    print(f"  p99 {percentile(ours, 99):.1f} µs, bare p99 {percentile(least, 99):.1f} µs")


def _paced(call: Call) -> list[float]:
    """Return the microseconds of each call."""
    taken = []
    due = time.perf_counter()
    for _ in range(PACED_CALLS):
        due += PACE_S
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return taken


def _tell_flood(name: str, call: Call, bare: Call) -> None:
    (least, _), (ours, clock) = _flood(bare), _flood(call)
    tell(f"sdk_meter, {name}, flood, of the thread", ours, "µs", yardstick=least, of="dict and queue")
    print(f"  by the clock {clock:.1f} µs a call, {1e6 / clock:,.0f} calls/s")


def _flood(call: Call) -> tuple[float, float]:
    """Return microseconds a call: of this thread's processor time, and by the clock."""
    began, used = time.perf_counter(), time.thread_time()
    for _ in range(FLOOD_CALLS):
        call()
    used, took = time.thread_time() - used, time.perf_counter() - began
    return used / FLOOD_CALLS * 1e6, took / FLOOD_CALLS * 1e6


def _tell_durable(url: str, folder: str) -> None:
    """Yardstick: write a line to a file and sync it."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def write() -> None:
            os.write(file.fileno(), b"x" * 200)
            os.fsync(file.fileno())

        least = _each(write)
    meter = Meter(url, "k", "measured", spool_dir=folder, durable=True)
    ours = _each(lambda: meter.record(model="gpt-5-mini", input_tokens=2006, output_tokens=300))
    meter.close()
    tell(
        "sdk_meter, durable record, 1 thread, p50",
        percentile(ours, 50), "µs", yardstick=percentile(least, 50), of="write and fsync",
    )  # fmt: skip


def _each(call: Call) -> list[float]:
    taken = []
    for _ in range(DURABLE_CALLS):
        began = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return taken


async def receipts(scope: Any, receive: Any, send: Any) -> None:
    """Answer every POST as /meter does when all is new (an ASGI application)."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    count = zlib.decompress(body, wbits=31).count(b"\n") if body else 0
    answer = {"accepted": count, "duplicates": 0, "conflicts": 0, "rejected": 0, "results": []}
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


if __name__ == "__main__":
    main()
