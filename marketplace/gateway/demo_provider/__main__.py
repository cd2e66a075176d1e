"""Start the demo provider.

``HALFPENNY_DEMO_LATENCY_SCALE`` makes it slower (2) or faster (0.5); 0 answers at once.
"""

import argparse
import os
import sys

import uvicorn

from marketplace.gateway.demo_provider.application import DemoProvider

KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections: a provider that closes first makes callers fail for nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; exit code 2 when the settings make no sense."""
    parser = argparse.ArgumentParser(prog="marketplace.gateway.demo_provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--api-key",
        nargs="?",
        const="",
        default=None,
        help="ask for a bearer token: any, or this one when given",
    )
    options = parser.parse_args(arguments)
    try:
        scale = float(os.environ.get("HALFPENNY_DEMO_LATENCY_SCALE", "1"))
    except ValueError:
        scale = -1
    if not 0 <= scale < 1000:
        parser.error("HALFPENNY_DEMO_LATENCY_SCALE is a number from 0 to 1000")
    uvicorn.run(
        DemoProvider(latency_scale=scale, api_key=options.api_key),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        # a caller that hangs on purpose must not hold up the stop
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
