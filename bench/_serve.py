"""Servers to measure and to measure against, each a process of its own on a free port."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# With debug, Django keeps every query and its time.
AS_SERVED = {"DEBUG": "0", "DEMO": "1", "SECURE_COOKIES": "0", "LOG_LEVEL": "ERROR"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(*command: str, path: str = "/", is_quiet: bool = False, **environment: str) -> Iterator[str]:
    """Run ``python -m …`` with --port appended until the block ends; yields its address once it answers."""
    with serving([sys.executable, "-m", *command], path=path, is_quiet=is_quiet, **environment) as address:
        yield address


@contextmanager
def serving(
    command: Sequence[str],
    *,
    path: str,
    is_quiet: bool = False,
    within_s: float = 60,
    **environment: str,
) -> Iterator[str]:
    """Run a program with --port appended until the block ends; yields its address once it answers."""
    port = free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, **environment},
        # Lines of each request would stand between the figures.
        stdout=subprocess.DEVNULL if is_quiet else None,
        stderr=subprocess.DEVNULL if is_quiet else None,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, address + path, within_s=within_s)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def application(*, workers: int = 1, is_quiet: bool = False, **environment: str) -> "contextmanager":
    """The whole application, set up as `up` does it."""
    environment = {**AS_SERVED, "ALLOWED_HOSTS": "127.0.0.1", **environment}
    command = ("marketplace.config.web", "--workers", str(workers))
    return running(*command, path="/healthz", is_quiet=is_quiet, **environment)


def asgi(name: str, **environment: str) -> "contextmanager":
    """A bare ASGI application of this package under uvicorn, set up like the real one."""
    command = ("uvicorn", name, "--loop", "uvloop", "--http", "httptools", "--log-level", "warning")
    return running(*command, "--no-access-log", path="/", **environment)


def _wait(process: "subprocess.Popen[bytes]", url: str, *, within_s: float) -> None:
    end = time.monotonic() + within_s
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer (exit code {process.poll()})")
