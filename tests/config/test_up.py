"""The whole program, started as people start it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from marketplace.config import paths, running
from marketplace.config.readiness import is_ready
from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import find_orphans

pytestmark = [pytest.mark.slow, pytest.mark.crash]


def manage(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.run(
        [sys.executable, str(paths.CHECKOUT / "manage.py"), *arguments],
        env={**outside, "HALFPENNY_DATA": str(data)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def up(data: Path, port: int) -> subprocess.CompletedProcess[str]:
    return manage(data, "up", "--empty", "--detach", "--workers", "1", "--port", str(port))


def status(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manage(data, "status", "--json").stdout)
    return found


def wait_until_well(data: Path, *, without: set[int]) -> None:
    """Wait until all parts run and none of them under an old process id."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = status(data)
        if found["ok"] and not without & {part["pid"] for part in found["parts"]}:
            return
    raise AssertionError(f"not well again: {found}")


class TestUp:
    def test_starts_survives_and_stops(self, data: Path) -> None:
        port = free_port()

        started = up(data, port)

        assert started.returncode == 0, started.stdout + started.stderr
        assert f"Open http://127.0.0.1:{port} " in started.stdout
        assert {part["what"] for part in status(data)["parts"]} == {
            "postgresql",
            "valkey",
            "web",
            "worker",
            "beat",
        }

        again = up(data, port)
        assert (again.returncode, "runs already at" in again.stdout) == (0, True)

        # Everything at once, servers included.
        killed = {part["pid"] for part in status(data)["parts"]}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until_well(data, without=killed)

        stopped = manage(data, "down")
        assert (stopped.returncode, stopped.stdout) == (0, "Halfpenny is stopped.\n")
        assert not find_orphans(data)
        assert not postgres.is_running(data)
        assert not valkey.is_running(data)
        assert manage(data, "status").returncode == 1

    def test_cleans_up_after_a_supervisor_that_was_killed(self, data: Path) -> None:
        port = free_port()
        assert up(data, port).returncode == 0
        found = running.describe(data)
        assert found
        supervisor = psutil.Process(found.pid)

        supervisor.kill()
        supervisor.wait(10)
        assert is_ready(f"http://127.0.0.1:{port}")
        assert "was killed and left" in manage(data, "status").stdout

        again = up(data, port)
        assert again.returncode == 0, again.stdout + again.stderr
        assert re.search(r"Ended \d+ processes", again.stdout)

        found = running.describe(data)
        assert found
        supervisor = psutil.Process(found.pid)
        supervisor.kill()
        supervisor.wait(10)
        assert manage(data, "down").stdout == "Halfpenny is stopped.\n"
        assert not find_orphans(data)

    def test_says_which_port_is_taken(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            found = up(data, listener.getsockname()[1])

        assert found.returncode == 1
        assert "choose another port with --port" in found.stdout
        assert "Traceback" not in found.stdout + found.stderr

    def test_says_that_a_folder_cannot_be_written(self) -> None:
        found = manage(Path("/proc/halfpenny"), "up")

        assert found.returncode == 1
        assert found.stderr.startswith("The data folder /proc/halfpenny cannot be written")


class TestDown:
    def test_is_content_when_nothing_runs(self, data: Path) -> None:
        found = manage(data, "down")

        assert (found.returncode, found.stdout) == (0, "Halfpenny was not running.\n")
