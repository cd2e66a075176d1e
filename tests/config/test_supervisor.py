import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from marketplace.config import supervisor as module
from marketplace.config.supervisor import (
    MARK,
    Liveness,
    Program,
    Stopped,
    Supervisor,
    end_orphans,
    find_orphans,
)

SLEEP = "import time; time.sleep(600)"
WITH_CHILD = (
    f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True);"
)
WITH_CHILD += SLEEP
DRAINING = "import signal, time; signal.signal(15, lambda *_: (print('drained', flush=True), exit(0)));"
DRAINING += f"print('up', flush=True); {SLEEP}"
STUBBORN = f"import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); {SLEEP}"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.01)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(announce=said.append, changed=lambda: None)
    yield made
    made.stop()


def program(data: Path, code: str, *, name: str = "fake", drain_s: float = 10, **environment: str) -> Program:
    around = {**os.environ, MARK: str(data), **environment}
    return Program(name, [sys.executable, "-c", code], around, data / f"{name}.log", drain_s=drain_s)


def pid_of(part: Program) -> int:
    process = part.process()
    assert process
    return process.pid


def was_replaced(part: Program, first: int) -> bool:
    process = part.process()
    return process is not None and process.pid != first


class TestTick:
    def test_starts_a_killed_program_again(self, data: Path, supervisor: Supervisor, said: list[str]) -> None:
        part = program(data, SLEEP)
        supervisor.start(part)
        first = pid_of(part)

        os.kill(first, signal.SIGKILL)

        assert supervisor.wait(lambda: was_replaced(part, first), timeout_s=20)
        assert said == ["fake was ended by signal 9; starting it again"]
        assert supervisor.watched[0].deaths == 1

    def test_ends_what_a_killed_program_leaves(self, data: Path, supervisor: Supervisor) -> None:
        part = program(data, WITH_CHILD)
        supervisor.start(part)
        assert supervisor.wait(lambda: part.log.read_text() != "", timeout_s=20)
        grandchild = int(part.log.read_text())

        os.kill(pid_of(part), signal.SIGKILL)

        assert supervisor.wait(lambda: not is_alive(grandchild), timeout_s=20)

    def test_pauses_longer_each_time_a_program_fails(
        self, data: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: now)
        supervisor.start(program(data, "raise SystemExit(3)"))
        watched = supervisor.watched[0]
        pauses = []
        for _ in range(8):
            while watched.not_before is None:
                supervisor.tick()
            pauses.append(watched.not_before - now)
            now = watched.not_before
            supervisor.tick()

        # A quarter of a second, doubled for each failure in a row, never more than twenty seconds.
        assert pauses == [0.5, 1, 2, 4, 8, 16, 20, 20]


# Answers at a port of its own choice until it is told to hang: then it still runs and listens, and says nothing.
ANSWERING = """
import http.server, sys, time, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if pathlib.Path(sys.argv[1]).exists():
            time.sleep(600)
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class TestLiveness:
    def answering(self, data: Path) -> Program:
        command = [sys.executable, "-c", ANSWERING, str(data / "hang")]
        return Program("web", command, {**os.environ, MARK: str(data)}, data / "web.log", drain_s=1)

    def test_replaces_a_program_that_runs_and_does_not_answer(
        self, data: Path, supervisor: Supervisor, said: list[str]
    ) -> None:
        part = self.answering(data)

        def answers() -> bool:
            try:
                port = part.log.read_text().split()[-1]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=0.2):
                    return True
            except (OSError, IndexError):
                return False

        liveness = Liveness(answers, every_s=0.05, patience=3)
        supervisor.start(part, liveness=liveness)
        first = pid_of(part)
        assert supervisor.wait(answers, timeout_s=20)
        supervisor.wait(lambda: False, timeout_s=0.5)
        assert pid_of(part) == first

        (data / "hang").touch()
        assert supervisor.wait(lambda: "web runs but does not answer" in said, timeout_s=20)
        (data / "hang").unlink()

        assert supervisor.wait(lambda: was_replaced(part, first) and answers(), timeout_s=20)
        assert said == ["web runs but does not answer", "web was ended by signal 9; starting it again"]

    def test_has_patience(self) -> None:
        liveness = Liveness(lambda: False, every_s=0, patience=3, start_s=0)

        assert self.questions_until_hung(liveness) == 3

    def test_begins_to_count_anew_after_an_answer(self) -> None:
        found = iter([False, False, True, False, False, False])
        liveness = Liveness(lambda: next(found), every_s=0, patience=3, start_s=0)

        assert self.questions_until_hung(liveness) == 6

    def test_waits_for_a_program_that_starts(self) -> None:
        found = iter([False] * 5 + [True] + [False] * 3)
        liveness = Liveness(lambda: next(found), every_s=0, patience=3, start_s=1000)

        # Five times nothing while it starts, the first answer, and from then on three times nothing.
        assert self.questions_until_hung(liveness) == 9

    def questions_until_hung(self, liveness: Liveness) -> int:
        """Look until it counts as hung; return how many questions that took."""
        asked = 0
        while not liveness.is_hung():
            assert liveness._thread is not None
            liveness._thread.join()
            asked += 1
        return asked


class TestStop:
    def test_lets_a_program_finish(self, data: Path, supervisor: Supervisor) -> None:
        part = program(data, DRAINING)
        supervisor.start(part)
        supervisor.wait(lambda: "up" in part.log.read_text(), timeout_s=20)

        supervisor.stop()

        assert part.log.read_text().split() == ["up", "drained"]
        assert part.process() is None

    def test_kills_one_that_does_not_end(self, data: Path, supervisor: Supervisor) -> None:
        part = program(data, STUBBORN, drain_s=0.1)
        supervisor.start(part)
        supervisor.wait(lambda: "up" in part.log.read_text(), timeout_s=20)

        supervisor.stop()

        assert part.process() is None

    def test_goes_backwards_with_the_web_before_all(self, data: Path, supervisor: Supervisor) -> None:
        order: list[str] = []
        for name in ("postgresql", "web", "worker"):
            supervisor.start(Recorded(name, order), stops_first=name == "web")

        supervisor.stop()
        supervisor.watched.clear()

        assert order == ["web", "worker", "postgresql"]

    def test_interrupts_whoever_waits(self, supervisor: Supervisor) -> None:
        supervisor.request_stop()

        with pytest.raises(Stopped):
            supervisor.wait(lambda: False)


class TestRunToEnd:
    def test_returns_the_exit_code(self, supervisor: Supervisor) -> None:
        assert supervisor.run_to_end([sys.executable, "-c", "exit(7)"], environment=os.environ) == 7


class TestEndOrphans:
    def test_ends_those_of_this_folder_only(self, data: Path, tmp_path: Path) -> None:
        mine, foreign = program(data, SLEEP), program(data, SLEEP, **{MARK: str(tmp_path)})
        mine.start()
        foreign.start()
        try:
            assert [process.pid for process in find_orphans(data)] == [pid_of(mine)]

            assert end_orphans(data) == 1

            assert mine.process() is None
            assert foreign.process() is not None
        finally:
            foreign.stop(is_urgent=lambda: True)


class Recorded:
    """A part that writes down when it is stopped."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order

    def start(self) -> None:
        """Do nothing: it is always alive."""

    def process(self) -> psutil.Process:
        return psutil.Process()

    def stop(self, *, is_urgent: object) -> None:
        self.order.append(self.name)

    def last_words(self) -> str:
        return "ended"


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
