"""Data folders for servers that a test starts itself."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import end_orphans


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that `nobody` can reach, unlike pytest's own; whatever runs in it is ended."""
    folder = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp")).resolve()
    folder.chmod(0o755)
    yield folder
    end_orphans(folder)
    valkey.stop(folder)
    postgres.stop(folder)
    shutil.rmtree(folder)


def kill(server: psutil.Process) -> None:
    """Kill a server and wait until it is dead, but leave the reaping to the code under test."""
    server.kill()
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        pass
