"""`manage.py up`: start everything and stay until it is stopped; with --detach, until it is ready."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from marketplace.config import logs, paths, preflight, running
from marketplace.config.launch import Options
from marketplace.config.start import Start, say

OTHER_START_TIMEOUT_S = 600


def main(arguments: list[str]) -> int:
    """Start Halfpenny, or say where it already runs; return the exit code."""
    options = parse(arguments)
    data = paths.data_dir()
    preflight.require_writable(data)
    if running.is_held(data):
        return _tell_where_it_runs(data, options)
    if options.is_detached:
        return _detach(data, arguments)
    try:
        with running.hold(data):
            return Start(options, data).run()
    except running.AlreadyHeld:
        return _tell_where_it_runs(data, options)


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    # No abbreviations: --detach is taken out of the arguments by its name.
    parser = argparse.ArgumentParser(
        prog="manage.py up", description="Start everything and print the address.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (default 127.0.0.1)")
    add("--port", type=int, default=8000, help="port of the web server (default 8000)")
    add("--provider-port", type=int, help="port of the demo model provider (default: the next one)")
    add("--workers", type=int, default=2, help="web processes (default 2)")
    add("--empty", action="store_true", help="no demo world and no demo model provider")
    add(
        "--debug",
        action="store_true",
        help="for developers: error pages with the stack, unhashed static files",
    )
    add("--detach", action="store_true", help="return as soon as it is ready, and leave it running")
    found = parser.parse_args(arguments)
    return Options(
        host=found.host,
        port=found.port,
        provider_port=found.provider_port or found.port + 1,
        workers=max(found.workers, 1),
        is_empty=found.empty,
        is_detached=found.detach,
        is_debug=found.debug,
    )


def _tell_where_it_runs(data: Path, options: Options) -> int:
    """Say where the Halfpenny of this data folder runs, waiting for one that is just starting."""
    deadline = time.monotonic() + OTHER_START_TIMEOUT_S
    while time.monotonic() < deadline and running.is_held(data):
        found = running.describe(data)
        if found and found.is_ready:
            say(f"Halfpenny runs already at {found.address}. Stop it with `python3 manage.py down`.")
            return 0 if found.address == options.address else 1
        time.sleep(0.2)
    say("Another start of Halfpenny was under way and did not succeed: try again.")
    return 1


def _detach(data: Path, arguments: list[str]) -> int:
    """Start a supervisor that outlives this command; show what it prints until it is ready or gives up."""
    log = paths.logs_dir(data) / "up.log"
    log.parent.mkdir(exist_ok=True)
    logs.rotate_one(log)
    command = [
        sys.executable,
        str(paths.CHECKOUT / "manage.py"),
        "up",
        *(a for a in arguments if a != "--detach"),
    ]
    with open(log, "ab") as output:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    with open(log, errors="replace") as lines:
        while supervisor.poll() is None and not _is_ready(data, supervisor.pid):
            print(lines.read(), end="", flush=True)
            time.sleep(0.1)
        # The greeting is printed just after the state says ready.
        time.sleep(0.2)
        print(lines.read(), end="", flush=True)
    return supervisor.poll() or 0


def _is_ready(data: Path, pid: int) -> bool:
    found = running.describe(data)
    return found is not None and found.is_ready and found.pid == pid
