"""What is known about a running Halfpenny: a lock that lives as long as its supervisor, and a file.

The lock decides whether it runs: the kernel gives it back however the supervisor ended, so no process id can
be stale.
Standard library only.
"""

import dataclasses
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Running:
    """A supervisor and what it started; `pids` by name, `since` in seconds of the epoch by name."""

    pid: int
    address: str
    is_ready: bool = False
    pids: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


class AlreadyHeld(Exception):
    """Another supervisor works in this data folder."""


@contextmanager
def hold(data: Path) -> Iterator[None]:
    """Be the supervisor of this data folder while the block runs; raise AlreadyHeld if there is one."""
    with open(_lock_file(data), "a+") as lock:
        _take(lock.fileno())
        try:
            yield
        finally:
            _state_file(data).unlink(missing_ok=True)


def is_held(data: Path) -> bool:
    """Say whether a supervisor works in this data folder."""
    try:
        lock = open(_lock_file(data))  # noqa: SIM115 (closed below, after another handler)
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def describe(data: Path) -> Running | None:
    """Return what the supervisor of this data folder wrote about itself; None when none works there."""
    if not is_held(data):
        return None
    try:
        found: dict[str, Any] = json.loads(_state_file(data).read_text())
    except (FileNotFoundError, ValueError):
        return None
    # Another version of this file may have written it.
    return Running(**{name: value for name, value in found.items() if name in Running.__dataclass_fields__})


def write(data: Path, running: Running) -> None:
    """Write the file anew, whole for every reader."""
    descriptor, draft = tempfile.mkstemp(dir=data, prefix=".running-")
    with os.fdopen(descriptor, "w") as file:
        json.dump(dataclasses.asdict(running), file)
    os.chmod(draft, 0o644)
    os.replace(draft, _state_file(data))


def _take(lock: int) -> None:
    # Somebody who looks, in is_held(), has the lock for an instant.
    for attempt in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 9:
                raise AlreadyHeld from None
            time.sleep(0.05)
        else:
            return


def _lock_file(data: Path) -> Path:
    return data / ".supervisor.lock"


def _state_file(data: Path) -> Path:
    return data / "running.json"
