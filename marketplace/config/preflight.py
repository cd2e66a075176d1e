"""What must hold before anything is started; each check returns quietly or refuses with a sentence."""

import errno
import shutil
import socket
import tempfile
from pathlib import Path

import psutil
import psycopg

from marketplace.config.refusals import Refused


def require_writable(data: Path) -> None:
    """Make the data folder if need be and refuse one in which files cannot be made."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        raise Refused(
            f"The data folder {data} cannot be written ({error.strerror}): "
            "make it writable, or choose another with --data."
        ) from error


def require_free_space(data: Path, *, least_bytes: int) -> None:
    """Refuse to start a database on a disk that is about to be full."""
    free = shutil.disk_usage(data).free
    if free < least_bytes:
        raise Refused(
            f"Only {free // 2**20} MB are free where {data} lies, and Halfpenny wants "
            f"{least_bytes // 2**20} MB: make room, or choose another folder with --data."
        )


def require_free_port(host: str, port: int, *, option: str) -> None:
    """Refuse a port that another program listens on, or that may not be used; `option` is what sets it."""
    if not 0 < port < 65536:
        raise Refused(f"{port} is not a port: give one from 1 to 65535 with {option}.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as candidate:
            # As the web server does: a port that only waits out old connections counts as free.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(address)
    except socket.gaierror as error:
        raise Refused(f"{host} is not an address of this machine: give another with --host.") from error
    except OSError as error:
        raise Refused(_why_not(host, port, option, error)) from error


def _why_not(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken{_by_whom(port)}: stop that program, or choose another port with {option}."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for the administrator: choose one above 1023 with {option}."
    return f"Port {port} on {host} cannot be used ({error.strerror}): choose another with {option} or --host."


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""


def require_database(url: str) -> None:
    """Refuse a DATABASE_URL that does not answer."""
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise Refused(
            f"The database at DATABASE_URL does not answer ({reason}): start it or correct it."
        ) from error


def require_broker(url: str) -> None:
    """Refuse a REDIS_URL that does not answer."""
    import redis  # noqa: PLC0415 (a third of a second that only those should pay who use such a server)

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=10, socket_timeout=10) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise Refused(
            f"The server at REDIS_URL does not answer ({error}): start it or correct it."
        ) from error
