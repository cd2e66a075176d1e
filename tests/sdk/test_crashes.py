"""Processes that end, fork, or are killed: what they recorded arrives, once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.sdk.conftest import MakeMeter
from tests.sdk.server import MeterServer

TIMEOUT_S = 60


@contextmanager
def running(what: str, server: MeterServer, spool: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.app", what, server.url, str(spool)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def outcome(what: str, server: MeterServer, spool: Path) -> tuple[int, list[str], str]:
    """Run an app to its end; return its exit code, the ids that it said, and its standard error."""
    with running(what, server, spool) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, out.split(), err


class TestEnd:
    @pytest.mark.parametrize(("what", "exit_code"), [("leaving", 0), ("failing", 1)])
    def test_of_a_process_sends_what_it_recorded(
        self, server: MeterServer, tmp_path: Path, what: str, exit_code: int
    ) -> None:
        code, ids, err = outcome(what, server, tmp_path)

        assert code == exit_code, err
        assert len(ids) == 100
        assert server.events.keys() == set(ids)
        assert not list(tmp_path.rglob("*.spool"))

    def test_of_children_of_multiprocessing_sends_what_they_recorded(
        self, server: MeterServer, tmp_path: Path
    ) -> None:
        code, ids, err = outcome("multiprocess", server, tmp_path)

        assert code == 0, err
        assert len(ids) == 150
        assert server.events.keys() == set(ids)


class TestFork:
    def test_lets_parent_and_children_send_each_event_once(self, server: MeterServer, tmp_path: Path) -> None:
        code, ids, err = outcome("forking", server, tmp_path)

        assert code == 0, err
        assert len(ids) == len(set(ids)) == 500
        assert server.events.keys() == set(ids)
        assert set(server.arrivals.values()) == {1}

    def test_does_not_keep_the_files_of_a_parent_that_was_killed(
        self, server: MeterServer, make_meter: MakeMeter, tmp_path: Path
    ) -> None:
        with running("orphaning", server, tmp_path) as process:
            assert process.stdout is not None
            event_id = process.stdout.readline().strip()
            assert process.stdout.readline() == "child\n"
            process.kill()
            process.wait(TIMEOUT_S)

            make_meter()

            server.wait_for(lambda: event_id in server.events)


class TestKill:
    def test_before_anything_is_sent_leaves_all_to_the_next_process(
        self, server: MeterServer, make_meter: MakeMeter, tmp_path: Path
    ) -> None:
        code, ids, _ = outcome("suicidal", server, tmp_path)
        assert (code, len(ids), server.requests) == (-signal.SIGKILL, 400, [])

        meter = make_meter()

        server.wait_for(lambda: server.events.keys() == set(ids))
        assert meter.flush()
        assert set(server.arrivals.values()) == {1}

    @pytest.mark.parametrize("round_number", range(3))
    def test_in_the_middle_of_everything_loses_nothing_that_was_durable(
        self, server: MeterServer, make_meter: MakeMeter, tmp_path: Path, round_number: int
    ) -> None:
        """Several processes share the spool; each is killed while its threads record and send."""
        said: list[str] = []
        with running("killed", server, tmp_path) as first, running("killed", server, tmp_path) as second:
            for process in (first, second):
                assert process.stdout is not None
                said += [process.stdout.readline().strip() for _ in range(100 + 37 * round_number)]
            for process in (first, second):
                process.kill()
                out, _ = process.communicate(timeout=TIMEOUT_S)
                # The last line may be cut.
                said += [line for line in out.split() if len(line) == 36]

        meter = make_meter()
        server.wait_for(lambda: set(said) <= server.events.keys())

        assert len(said) >= 200
        assert meter.flush()
        assert not list(tmp_path.rglob("*.spool"))


class TestSharedSpool:
    def test_is_adopted_only_from_processes_that_are_gone(
        self, server: MeterServer, make_meter: MakeMeter, tmp_path: Path
    ) -> None:
        with running("orphaning", server, tmp_path) as process:
            assert process.stdout is not None
            event_id = process.stdout.readline().strip()
            process.stdout.readline()
            meter = make_meter()
            assert meter.flush()
            assert event_id not in server.events

            os.kill(process.pid, signal.SIGKILL)
            process.wait(TIMEOUT_S)
            make_meter()

            server.wait_for(lambda: event_id in server.events)
