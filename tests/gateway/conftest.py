"""The real demo provider, as a process of its own on the loopback interface."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.metering.conftest import world

__all__ = ["world"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_demo_provider(*arguments: str, latency_scale: str = "0") -> Iterator[str]:
    """Run a demo provider; give its address without a path."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "marketplace.gateway.demo_provider", "--port", str(port), *arguments],
        env={**os.environ, "HALFPENNY_DEMO_LATENCY_SCALE": latency_scale},
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_alive(process, address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_alive(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the demo provider did not start (exit code {process.poll()})")


@pytest.fixture(scope="session")
def demo_provider() -> Iterator[str]:
    """The address of a demo provider that answers at once, for all tests."""
    with running_demo_provider() as address:
        yield address


@pytest.fixture(scope="session")
def guarded_demo_provider() -> Iterator[str]:
    """The address of a demo provider that wants the key ``demo-secret``."""
    with running_demo_provider("--api-key", "demo-secret") as address:
        yield address
