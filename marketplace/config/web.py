"""The web processes: `python -m marketplace.config.web`. The application is loaded once and then forked.

With uvicorn's own worker processes each would load Django for itself, which takes two seconds of processor time and
60 MB a process. A process that dies is replaced within milliseconds.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import time

import uvicorn
from django.db import connections

APPLICATION = "marketplace.config.asgi:application"
HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
# A process that lives shorter than this is replaced only after this pause.
LEAST_LIFE_S = 1.0

logger = logging.getLogger("marketplace.web")


def main() -> int:
    """Listen, keep the asked number of processes alive, and on SIGTERM let them finish what they answer."""
    options = _parse()
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
    listener.listen(config.backlog)
    _prepare_to_fork()
    return _keep_alive(config, listener, options.workers)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m marketplace.config.web")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drain", type=int, default=18, help="seconds to finish what is being answered")
    return parser.parse_args()


def _prepare_to_fork() -> None:
    """Make sure that no two processes ever share a database connection, and that memory stays shared."""
    connections.close_all()
    gc.collect()
    gc.freeze()
    # Signals are taken from sigwait(), one at a time, so that none falls between two lines. Without a handler, some
    # systems would throw this one away.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _keep_alive(config: uvicorn.Config, listener: socket.socket, count: int) -> int:
    started: dict[int, float] = {}
    while True:
        while len(started) < count:
            started[_fork(config, listener)] = time.monotonic()
        if signal.sigwait(HANDLED) != signal.SIGCHLD:
            return _drain(list(started))
        for pid, status in _ended():
            age_s = time.monotonic() - started.pop(pid)
            logger.warning("web process %s ended with status %s and is replaced", pid, status)
            time.sleep(LEAST_LIFE_S if age_s < LEAST_LIFE_S else 0)


def _fork(config: uvicorn.Config, listener: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        uvicorn.Server(config).run(sockets=[listener])
        code = 0
    finally:
        # Not sys.exit(): what the parent would clean up is not the child's.
        logging.shutdown()
        os._exit(code)


def _ended() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def _drain(pids: list[int]) -> int:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
