"""A whole installation in a folder of its own, and ways to kill its parts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

from marketplace.config import paths, running
from marketplace.config.services import postgres, valkey

HOLD_SECONDS = 4
PATIENCE_S = 90


class Installation:
    """What `manage.py up` starts for a data folder."""

    def __init__(self, data: Path, *, port: int) -> None:
        self.data = data
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        outside = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        self._environment = {
            **outside,
            "HALFPENNY_DATA": str(data),
            "HALFPENNY_HOLD_SECONDS": str(HOLD_SECONDS),
        }

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of manage.py's commands on this installation."""
        return self._run(str(paths.CHECKOUT / "manage.py"), *arguments)

    def up(self) -> None:
        """Start everything, or start it again; what an earlier start left behind is ended by `up` itself."""
        done = self.manage("up", "--empty", "--detach", "--workers", "2", "--port", str(self.port))
        assert done.returncode == 0, done.stdout + done.stderr

    def make_world(self, provider: str) -> dict[str, str]:
        """Fill the empty database; give the keys."""
        done = self._run("-m", "tests.crashes.world", provider)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def ask(self, sql: str) -> list[Any]:
        """Give the rows of a query, from a connection of its own."""
        with psycopg.connect(paths.postgres_url(self.data), autocommit=True) as connection:
            return connection.execute(sql).fetchall()  # type: ignore[call-overload,no-any-return]

    def kill_web(self) -> None:
        """Kill one of the web processes; the other one answers on."""
        _kill(self._web_processes()[0])

    def kill_all_web(self) -> None:
        """Kill both web processes, and so every call that is under way."""
        for process in self._web_processes():
            _kill(process)

    def kill_worker(self) -> None:
        """Kill the worker."""
        _kill(psutil.Process(int((paths.pids_dir(self.data) / "worker").read_text())))

    def kill_backend(self) -> None:
        """Kill one of PostgreSQL's processes for a client; PostgreSQL then ends all others and recovers."""
        backends = [each for each in self._postmaster().children() if "halfpenny" in " ".join(each.cmdline())]
        _kill(backends[0])

    def kill_postgres(self) -> None:
        """Kill PostgreSQL's main process."""
        _kill(self._postmaster())

    def kill_valkey(self) -> None:
        """Kill Valkey."""
        server = valkey.find_process(self.data)
        assert server is not None
        _kill(server)

    def kill_supervisor(self) -> None:
        """Kill the supervisor, which leaves all others running, and start again."""
        _kill(psutil.Process(self._running().pid))
        self.up()

    def _web_processes(self) -> list[psutil.Process]:
        return psutil.Process(self._running().pids["web"]).children()

    def _postmaster(self) -> psutil.Process:
        server = postgres.find_process(self.data)
        assert server is not None
        return server

    def _running(self) -> running.Running:
        found = running.describe(self.data)
        assert found is not None
        return found

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=paths.CHECKOUT,
            env=self._environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=240,
        )


def _kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen, no longer than PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.05)
