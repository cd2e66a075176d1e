"""Keep the parts of Halfpenny running: start, restart what dies, stop in reverse, leave nothing behind.

A part is a program of ours, in a session of its own so that Ctrl-C reaches only the supervisor, or a server
that
has its own launcher. Knows nothing of Django or of what the parts do.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from marketplace.config.refusals import Refused

# Every process started here, and all its descendants, carry this variable with the data folder as its value.
# It is
# how the next supervisor finds what a killed one left behind without trusting any process id.
MARK = "HALFPENNY_SUPERVISED_IN"
TICK_S = 0.2
STABLE_AFTER_S = 30
LONGEST_PAUSE_S = 20
ORPHAN_PATIENCE_S = 10


class Part(Protocol):
    """Something that is started, looked at and stopped."""

    @property
    def name(self) -> str: ...
    def start(self) -> None: ...
    def process(self) -> psutil.Process | None: ...
    def stop(self, *, is_urgent: Callable[[], bool]) -> None: ...
    def last_words(self) -> str: ...


@dataclass
class Program:
    """A command of ours; its output goes to a log file.

    `drain_s`: how long it may take to finish its work; `niceness`: 0 to 19, how readily it leaves the processor to
    others.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    drain_s: float = 15
    niceness: int = 0
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the command in a session of its own."""
        with open(self.log, "ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if self.niceness:
            psutil.Process(self._popen.pid).nice(self.niceness)

    def process(self) -> psutil.Process | None:
        """Return the living process; what a dead one left in its group is killed."""
        if self._popen is None or self._popen.returncode is not None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._popen.pid)
            if found.status() != psutil.STATUS_ZOMBIE:
                return found
        self._end_group()
        return None

    def stop(self, *, is_urgent: Callable[[], bool]) -> None:
        """Ask the program to end, wait until it has finished its work, then kill what is left."""
        if self.process() is None or self._popen is None:
            return
        self._popen.terminate()
        deadline = time.monotonic() + self.drain_s
        while self.process() and time.monotonic() < deadline and not is_urgent():
            time.sleep(0.02)
        if self._popen.returncode is None:
            self._end_group()

    def kill(self) -> None:
        """End the program and all that it started at once, whatever they are doing."""
        if self.process() is not None:
            self._end_group()

    def last_words(self) -> str:
        """Say how the program ended."""
        code = self._popen.returncode if self._popen else None
        if code is not None and code < 0:
            return f"was ended by signal {-code}"
        return f"ended with code {code}; see {self.log}"

    def _end_group(self) -> None:
        assert self._popen is not None
        # Before the process is reaped: until then nobody else can have its id, nor that of its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


@dataclass
class Server:
    """A server with a launcher of its own, see marketplace.config.services."""

    name: str
    launch: Callable[[], object]
    find: Callable[[], psutil.Process | None]
    end: Callable[[], object]

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        self.launch()

    def process(self) -> psutil.Process | None:
        """Return the server's main process."""
        return self.find()

    def stop(self, *, is_urgent: Callable[[], bool]) -> None:
        """Stop the server; it ends its clients by itself, so there is nothing to hurry."""
        self.end()

    def last_words(self) -> str:
        """Say how the server ended."""
        return "ended"


class Liveness:
    """Whether a running program still answers: asked now and then, in a thread, so that nobody waits for it.

    `answers` is asked every `every_s` seconds; after `patience` times without an answer the program counts as hung.
    While it starts, for `start_s` at most and until its first answer, no question counts.
    """

    def __init__(
        self, answers: Callable[[], bool], *, every_s: float = 5, patience: int = 4, start_s: float = 120
    ) -> None:
        self._answers = answers
        self._every_s = every_s
        self._patience = patience
        self._start_s = start_s
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was asked: the program was just started."""
        self._failures = 0
        self._counts_from = time.monotonic() + self._start_s
        self._next = time.monotonic() + self._every_s
        # An answer to an older question goes to a list that nobody reads any more.
        self._found: list[bool] = []
        self._thread: threading.Thread | None = None

    def is_hung(self) -> bool:
        """Take in what the last question found, ask the next one when it is due, and judge."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            self._judge(any(self._found))
        if self._failures >= self._patience:
            return True
        if self._thread is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            self._found = []
            self._thread = threading.Thread(target=self._ask, args=(self._found,), daemon=True)
            self._thread.start()
        return False

    def _ask(self, found: list[bool]) -> None:
        found.append(self._answers())

    def _judge(self, has_answered: bool) -> None:
        if has_answered:
            self._failures = 0
            self._counts_from = 0
        elif time.monotonic() >= self._counts_from:
            self._failures += 1


@dataclass
class Watched:
    """A part, when it was last started, how often it died, and when it may be tried again (monotonic
    seconds)."""

    part: Part
    stops_first: bool = False
    liveness: Liveness | None = None
    since: float = 0
    started: float = 0
    deaths: int = 0
    failures: int = 0
    not_before: float | None = None


class Stopped(Exception):
    """Somebody asked the supervisor to stop while it was waiting for something."""


class Supervisor:
    """Hold the parts in the order in which they were started."""

    def __init__(self, *, announce: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.watched: list[Watched] = []
        self._announce = announce
        self._changed = changed
        self._stop = threading.Event()
        self._is_urgent = False

    def request_stop(self, *_: object) -> None:
        """Ask for the end; asked a second time, do not wait for anybody. Usable as a signal handler."""
        self._is_urgent = self._stop.is_set()
        self._stop.set()

    def start(self, part: Part, *, stops_first: bool = False, liveness: Liveness | None = None) -> None:
        """Start a part and keep it running from now on; `stops_first`: it is stopped before all others.

        With `liveness`, a program that does not answer any more is killed and started again.
        """
        watched = Watched(part, stops_first, liveness)
        self.watched.append(watched)
        self._launch(watched)

    def wait(self, condition: Callable[[], bool], *, timeout_s: float | None = None) -> bool:
        """Keep everything running until the condition holds (True) or time is up (False); raise Stopped if
        asked."""
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        while not condition():
            if deadline is not None and time.monotonic() > deadline:
                return False
            self.tick()
            if self._stop.wait(TICK_S):
                raise Stopped
        return True

    def run_to_end(self, command: list[str], *, environment: Mapping[str, str]) -> int:
        """Run one command in the foreground while everything is kept running; return its exit code."""
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            self.wait(lambda: process.poll() is not None)
        except Stopped:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode

    def tick(self) -> None:
        """Look at every part once and start again what died, after a pause that grows with its failures."""
        for watched in self.watched:
            if watched.part.process() is not None:
                self._end_hung(watched)
                continue
            if watched.not_before is None:
                self._mourn(watched)
            if watched.not_before is not None and time.monotonic() >= watched.not_before:
                self._launch(watched)

    def stop(self) -> None:
        """Stop all parts: those that stop first, then the last started first."""
        in_order = self.watched[::-1]
        for watched in sorted(in_order, key=lambda watched: not watched.stops_first):
            watched.part.stop(is_urgent=lambda: self._is_urgent)

    def _end_hung(self, watched: Watched) -> None:
        """Kill a program that runs and does not answer; the next look finds it dead and starts it again."""
        if (
            watched.liveness is None
            or not watched.liveness.is_hung()
            or not isinstance(watched.part, Program)
        ):
            return
        self._announce(f"{watched.part.name} runs but does not answer")
        watched.part.kill()

    def _mourn(self, watched: Watched) -> None:
        was_stable = time.monotonic() - watched.started > STABLE_AFTER_S
        watched.failures = 0 if was_stable else watched.failures + 1
        watched.deaths += 1
        pause = min(0.25 * 2**watched.failures, LONGEST_PAUSE_S)
        watched.not_before = time.monotonic() + pause
        self._announce(f"{watched.part.name} {watched.part.last_words()}; starting it again")

    def _launch(self, watched: Watched) -> None:
        watched.started, watched.since, watched.not_before = time.monotonic(), time.time(), None
        if watched.liveness is not None:
            watched.liveness.begin_anew()
        try:
            watched.part.start()
        except Refused as refusal:
            if not watched.deaths:
                raise
            self._announce(str(refusal))
        self._changed()


def find_orphans(data: Path) -> list[psutil.Process]:
    """List the processes started for this data folder; when no supervisor runs, they are left over from a killed one."""
    return [process for process in psutil.process_iter() if _is_marked(process, data)]


def end_orphans(data: Path) -> int:
    """End the processes that a killed supervisor of this data folder left behind; return their number."""
    orphans = find_orphans(data)
    for process in orphans:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=ORPHAN_PATIENCE_S)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=ORPHAN_PATIENCE_S)
    return len(orphans)


def _is_marked(process: psutil.Process, data: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(data)
    except (psutil.Error, OSError):
        return False
