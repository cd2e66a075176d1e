import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from marketplace.config import paths

PATIENCE_S = 60

# Two children that note themselves and sleep; one of them ends in its own way.
PARENT = """
import signal, sys, time
from marketplace.config import forks

def sleep():
    time.sleep(600)

def finish():
    signal.signal(signal.SIGTERM, lambda *_: (print("finished", flush=True), sys.exit(0)))
    print("up", flush=True)
    sleep()

sys.exit(forks.keep_alive({"sleeper": sleep, "finisher": finish}))
"""


@pytest.fixture
def parent(data: Path) -> Iterator[subprocess.Popen[str]]:
    around = {**os.environ, "HALFPENNY_DATA": str(data)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=paths.CHECKOUT,
        env=around,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        yield process
        # With the children; when the test has ended the parent, there is no group any more.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_pid(data: Path, name: str, *, other_than: int = 0) -> int:
    """Return the id that a child noted, once it is there and another."""
    file = paths.pids_dir(data) / name
    deadline = time.monotonic() + PATIENCE_S
    while not file.exists() or (found := int(file.read_text())) == other_than:
        if time.monotonic() > deadline:
            raise AssertionError(f"{name} was not replaced within {PATIENCE_S} s")
        time.sleep(0.005)
    return found


# A child whose loop beats until the file is there; from then on it lives and does nothing.
BEATING = """
import pathlib, sys, time
from marketplace.config import forks

def work():
    forks.beat()
    print("up", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        forks.beat()
        time.sleep(0.01)
    time.sleep(600)

forks.LOOK_S, forks.HUNG_AFTER_S = 0.05, 0.5
sys.exit(forks.keep_alive({"worker": work}))
"""


class TestHung:
    def test_is_killed_and_replaced(self, data: Path, tmp_path: Path) -> None:
        hang = tmp_path / "hang"
        around = {**os.environ, "HALFPENNY_DATA": str(data)}
        command = [sys.executable, "-c", BEATING, str(hang)]
        with subprocess.Popen(
            command, cwd=paths.CHECKOUT, env=around, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdout and process.stdout.readline() == "up\n"
            first = wait_for_pid(data, "worker")
            assert psutil.Process(first).is_running()

            hang.touch()
            second = wait_for_pid(data, "worker", other_than=first)
            hang.unlink()

            assert second != first
            assert not psutil.pid_exists(first)
            os.killpg(process.pid, signal.SIGKILL)


class TestKeepAlive:
    def test_replaces_a_killed_process(self, data: Path, parent: subprocess.Popen[str]) -> None:
        first = wait_for_pid(data, "sleeper")

        os.kill(first, signal.SIGKILL)

        second = wait_for_pid(data, "sleeper", other_than=first)
        assert psutil.Process(second).ppid() == parent.pid

    def test_lets_all_finish_before_it_ends(self, data: Path, parent: subprocess.Popen[str]) -> None:
        sleeper = wait_for_pid(data, "sleeper")

        parent.terminate()

        assert parent.communicate(timeout=20)[0] == "finished\n"
        assert parent.returncode == 0
        assert not psutil.pid_exists(sleeper)
