"""The web processes: `python -m marketplace.config.web --host H --port P --workers N`."""

import argparse
import sys
from functools import partial

import uvicorn

from marketplace.config import forks

APPLICATION = "marketplace.config.asgi:application"
# A thread that waits for PostgreSQL gets the interpreter back within this time when its answer is there. Python's own
# five milliseconds, at each of a transaction's ten round trips, are longer than the transaction.
SWITCH_S = 0.0002


class BeatingServer(uvicorn.Server):
    """A server whose event loop shows several times a second that it turns."""

    async def on_tick(self, counter: int) -> bool:
        """Beat, and say whether to stop."""
        forks.beat()
        return await super().on_tick(counter)


def main() -> int:
    """Listen, and serve from so many processes; on SIGTERM they finish what they are answering."""
    options = _parse()
    sys.setswitchinterval(SWITCH_S)
    config = uvicorn.Config(
        APPLICATION,
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        backlog=2048,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=options.drain,
    )
    config.load()
    listener = config.bind_socket()
    serve = partial(BeatingServer(config).run, sockets=[listener])
    return forks.keep_alive({f"web-{number}": serve for number in range(1, options.workers + 1)})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m marketplace.config.web")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drain", type=int, default=18, help="seconds to finish what is being answered")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
