"""What the SDK's client adds to a call, and what its parts cost alone: a hit of the cache, a breaker, a choice of a policy.

The server is an ASGI application that answers at once, in a process of its own. Yardstick of a call: the same request by
http.client on one connection that is kept.
"""

import http.client
import json
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench._report import percentile, tell
from bench._serve import asgi
from marketplace.sdk import Breaker, Client, ExactCache, RouteCall, RouteModel, RoutePolicy, cache_key

CALLS, WARM, LOOPS = 2_000, 100, 20_000
BODY = {"model": "llm-8b", "temperature": 0, "messages": [{"role": "user", "content": "Sushi? " * 50}]}
ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "llm-8b",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 2, "total_tokens": 122},
}  # fmt: skip


def main() -> None:
    with asgi("bench.sdk_client:answer") as url:
        bare = _each(CALLS, _bare(url))
        with Client(url, "hp_sub_k") as client:
            ours = _each(CALLS, lambda: client.chat("Sushi? " * 50))
        for percent in (50, 99):
            tell(
                f"sdk_client, chat, 1 thread, p{percent}",
                percentile(ours, percent), "µs", yardstick=percentile(bare, percent), of="http.client",
            )  # fmt: skip
    _parts()


def _parts() -> None:
    """Microseconds of each, many in a row."""
    key = cache_key(tenant="t", app="a", version="1", model="llm-8b", body=BODY)
    memory = ExactCache()
    memory.put(key, ANSWER)
    breaker = Breaker("model")
    policy = RoutePolicy.read({"rows": [{"intents": ["summary"], "use": "small"}, {"use": "strongest"}]})
    models = [RouteModel("llm-8b", "small", Decimal("0.2")), RouteModel("llm-70b", "medium", Decimal("0.9"))]
    call = RouteCall(intent="summary", tokens=120)

    def guarded() -> None:
        with breaker:
            pass

    with tempfile.TemporaryDirectory() as folder:
        file = ExactCache(path=Path(folder) / "cache.db")
        file.put(key, ANSWER)
        for name, work in (
            ("cache_key", lambda: cache_key(tenant="t", app="a", version="1", model="llm-8b", body=BODY)),
            ("a hit in memory", lambda: memory.get(key)),
            ("a hit in a file", lambda: file.get(key)),
            ("a closed breaker", guarded),
            ("a choice of a policy", lambda: policy.choose(call, models)),
        ):
            tell(f"sdk_client, {name}", _mean(work), "µs")


def _bare(url: str) -> Callable[[], object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    body = json.dumps(BODY).encode()

    def ask() -> object:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())

    return ask


def _each(times: int, work: Callable[[], object]) -> list[float]:
    """Return the microseconds of each call but the first ones."""
    taken = []
    for _ in range(times + WARM):
        began = time.perf_counter_ns()
        work()
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return taken[WARM:]


def _mean(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    for _ in range(LOOPS):
        work()
    return (time.thread_time_ns() - began) / LOOPS / 1_000


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer every POST with one completion (an ASGI application)."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        continue
    headers = [(b"content-type", b"application/json"), (b"x-halfpenny-cost", b"0.0000252")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(ANSWER).encode()})


if __name__ == "__main__":
    main()
