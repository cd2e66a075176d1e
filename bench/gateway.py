"""Chat completions with everything on (key, four limits, durable hold, event, rate, roll-up) against a bare proxy."""

import json

from bench import _world
from bench._load import drive
from bench._report import percentile, tell
from bench._serve import application, asgi, running

BODY = json.dumps(
    {
        "model": "llm-8b",
        "messages": [{"role": "user", "content": "Summarize: the quick brown fox."}],
        "max_tokens": 40,
    }
).encode()


def main() -> None:
    _world.set_up()
    with running(
        "marketplace.gateway.demo_provider", path="/healthz", HALFPENNY_DEMO_LATENCY_SCALE="0"
    ) as upstream:
        world = _world.make(provider_url=f"{upstream}/v1")
        key = {"Authorization": f"Bearer {world.sub_key}"}
        with asgi("bench._bare:proxy", UPSTREAM=upstream) as bare, application(workers=1) as url:
            for callers in (64, 1):
                proxied, bare_ms = drive(f"{bare}/v1/chat/completions", _body, headers=key, callers=callers)
                rate, ms = drive(f"{url}/v1/chat/completions", _body, headers=key, callers=callers)
                tell(f"gateway, {callers} callers", rate, "requests/s", yardstick=proxied, of="bare proxy")
                tell(
                    f"gateway p50, {callers} callers",
                    percentile(ms, 50),
                    "ms",
                    yardstick=percentile(bare_ms, 50),
                    of="bare proxy",
                )
                tell(
                    f"gateway p99, {callers} callers",
                    percentile(ms, 99),
                    "ms",
                    yardstick=percentile(bare_ms, 99),
                    of="bare proxy",
                )


def _body(number: int) -> bytes:
    return BODY


if __name__ == "__main__":
    main()
