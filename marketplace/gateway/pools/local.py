"""Replicas as processes of this machine: each is a demo model server, or what the configured commands start.

A process is known by its id and the moment it was made, so that another one with the same id is never taken for it. It
outlives the worker that started it; its environment carries the supervisor's mark, so that stopping everything ends it.
"""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from uuid import UUID, uuid4

import psutil

from marketplace.gateway.pools.actuators import CannotScale, ReplicaFacts, Seen, Started

HOST = "127.0.0.1"
ASK_S = 1.0
SNAPSHOT_S = 60.0
DEFAULT = (sys.executable, "-m", "marketplace.gateway.demo_provider", "--host", HOST, "--port", "{port}")


class LocalProcesses:
    """Starts processes. The commands are programs with ``{port}``, ``{pool}``, ``{number}``, ``{pid}``, ``{snapshot}``.

    ``snapshot_command`` keeps, under the path ``{snapshot}``, how a process is that has just started cold;
    ``restore_command`` starts one from there. Both are used for pools that want it. Without a command that makes
    snapshots, the operator has made one.
    """

    def __init__(
        self,
        *,
        command: str = "",
        snapshot_command: str = "",
        restore_command: str = "",
        folder: Path,
        checkout: Path,
    ) -> None:
        self._command = tuple(shlex.split(command)) or DEFAULT
        self._snapshot_command = tuple(shlex.split(snapshot_command))
        self._restore_command = tuple(shlex.split(restore_command))
        self._folder = folder
        self._checkout = checkout

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        """Start a process on a free port."""
        kept = self._kept(pool)
        has_snapshot = kept.exists() or not self._snapshot_command
        is_restored = restores and bool(self._restore_command) and has_snapshot
        port = _free_port()
        known = {"port": str(port), "pool": pool, "number": str(number), "snapshot": str(kept)}
        parts = self._restore_command if is_restored else self._command
        # Plain replacement: nothing in a command can reach into an object, as a format could.
        command = [_filled(part, known) for part in parts]
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with (self._folder / f"pool-{pool}-{number}.log").open("ab") as log:
                process = subprocess.Popen(
                    command,
                    cwd=self._checkout,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            # It is to outlive this object, which would complain about that otherwise; `_find` takes the dead ones away.
            process.returncode = 0
            handle = f"{process.pid}:{psutil.Process(process.pid).create_time()}"
        except (OSError, psutil.Error) as error:
            raise CannotScale(f"{command[0]} did not start: {error}") from error
        return Started(handle, f"http://{HOST}:{port}", is_restored)

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        """Run the command that keeps a snapshot, unless there is one; what it left under another name appears whole."""
        kept = self._kept(pool)
        if not self._snapshot_command or kept.exists():
            return ""
        made = kept.with_name(f"{kept.name}.{uuid4().hex[:8]}")
        known = {
            "port": replica.address.rpartition(":")[2],
            "pool": pool,
            "number": str(replica.number),
            "pid": replica.handle.partition(":")[0],
            "snapshot": str(made),
        }
        command = [_filled(part, known) for part in self._snapshot_command]
        try:
            with (self._folder / f"pool-{pool}-snapshot.log").open("ab") as log:
                subprocess.run(
                    command,
                    cwd=self._checkout,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=True,
                    timeout=SNAPSHOT_S,
                )
            made.rename(kept)
        except (OSError, subprocess.SubprocessError) as error:
            _throw_away(made)
            return f"No snapshot was made: {error}"
        return f"A snapshot was made of replica {replica.number}; others start from it."

    def forget_snapshot(self, *, pool: str) -> None:
        """Throw a snapshot away from which nothing starts, or that is older than the model it holds."""
        _throw_away(self._kept(pool))

    def _kept(self, pool: str) -> Path:
        return self._folder / f"pool-{pool}.snapshot"

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        """Ask it to finish and end, or end it with all that it started."""
        if process := _find(replica.handle):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL if is_urgent else signal.SIGTERM)

    def settle(self, *, on_demand: int, spot: int) -> None:
        return None

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        """Look whether each process lives, and whether it answers."""
        return {replica.id: _look(replica) for replica in replicas}


def _throw_away(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _filled(part: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        part = part.replace("{" + name + "}", value)
    return part


def _look(replica: ReplicaFacts) -> Seen:
    if _find(replica.handle) is None:
        return Seen.GONE
    return Seen.READY if _answers(replica.address) else Seen.STARTING


def _answers(address: str) -> bool:
    """Tell whether its list of models can be read: then it takes calls."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=ASK_S)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _find(handle: str) -> psutil.Process | None:
    """Return the living process of a handle; one that has ended and was ours is taken away."""
    pid, _, made = handle.partition(":")
    if not pid.isdigit():
        return None
    try:
        process = psutil.Process(int(pid))
        if str(process.create_time()) != made:
            return None
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    except psutil.Error:
        return None
    with contextlib.suppress(ChildProcessError):
        os.waitpid(int(pid), os.WNOHANG)
    return None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port
