"""Chat completions with everything on (key, four limits, durable hold, event, rate, roll-up) against a bare proxy.

The upstream alone says what the machine can do; what each way adds to a call is told beside it. With ``--litellm`` the
same calls go through LiteLLM's proxy, which is installed in an environment of its own the first time.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import _litellm, _world
from bench._load import drive
from bench._report import percentile, tell
from bench._serve import application, asgi, running

PATH = "/v1/chat/completions"
BODY = json.dumps(
    {
        "model": "llm-8b",
        "messages": [{"role": "user", "content": "Summarize: the quick brown fox."}],
        "max_tokens": 40,
    }
).encode()
CALLERS = (64, 16, 1)


@dataclass(frozen=True)
class Way:
    """A way to the upstream, and the key it asks for."""

    name: str
    url: str
    key: str = ""


@dataclass(frozen=True)
class Measured:
    """Requests a second, and latencies in ms."""

    rate: float
    p50: float
    p99: float


def main() -> None:
    asked = _arguments()
    _world.set_up()
    with ExitStack() as stack:
        upstream = stack.enter_context(
            running("marketplace.gateway.demo_provider", path="/healthz", HALFPENNY_DEMO_LATENCY_SCALE="0")
        )
        ways = list(_ways(stack, upstream, litellm=asked.litellm))
        for callers in asked.callers:
            found = {way.name: _measure(way, callers=callers, seconds=asked.seconds) for way in ways}
            _tell(found, callers=callers)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="manage.py bench gateway", description=__doc__)
    parser.add_argument(
        "--litellm", type=Path, metavar="FOLDER", help="measure LiteLLM, too; installed there"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--callers", type=int, nargs="+", default=CALLERS)
    return parser.parse_args()


def _ways(stack: ExitStack, upstream: str, *, litellm: Path | None) -> Iterator[Way]:
    world = _world.make(provider_url=f"{upstream}/v1")
    yield Way("upstream", upstream)
    yield Way("bare proxy", stack.enter_context(asgi("bench._bare:proxy", UPSTREAM=upstream)))
    yield Way("gateway", stack.enter_context(application(workers=1)), world.sub_key)
    if litellm is not None:
        litellm.mkdir(parents=True, exist_ok=True)
        yield Way("LiteLLM", stack.enter_context(_litellm.proxy(litellm, upstream=upstream)), _litellm.KEY)


def _measure(way: Way, *, callers: int, seconds: float) -> Measured:
    headers = {"Authorization": f"Bearer {way.key}"} if way.key else {}
    rate, ms = drive(way.url + PATH, _body, headers=headers, callers=callers, seconds=seconds)
    return Measured(rate, percentile(ms, 50), percentile(ms, 99))


def _body(number: int) -> bytes:
    return BODY


def _tell(found: dict[str, Measured], *, callers: int) -> None:
    """Tell the gateway's figures beside each other way's, then what every way adds to a call."""
    ours, alone = found["gateway"], found["upstream"]
    for name, other in found.items():
        if name == "gateway":
            continue
        tell(f"gateway, {callers} callers", ours.rate, "requests/s", yardstick=other.rate, of=name)
        tell(f"gateway p50, {callers} callers", ours.p50, "ms", yardstick=other.p50, of=name)
        tell(f"gateway p99, {callers} callers", ours.p99, "ms", yardstick=other.p99, of=name)
    for name, way in found.items():
        if name != "upstream":
            tell(f"{name} adds p50, {callers} callers", way.p50 - alone.p50, "ms")
            tell(f"{name} adds p99, {callers} callers", way.p99 - alone.p99, "ms")


if __name__ == "__main__":
    main()
