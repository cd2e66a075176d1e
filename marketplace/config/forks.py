"""Processes that share one loading of Django: load once, fork, replace within milliseconds what dies or hangs.

Loading takes some two seconds of processor time and 80 MB; that is what a process costs which loads for itself.
"""

import contextlib
import gc
import logging
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from django.db import connections

from marketplace.config import paths

HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
# A process that lives shorter than this is replaced only after a pause as long.
LEAST_LIFE_S = 1.0
LOOK_S = 1.0
# Longer than any pause of a machine that is busy, shorter than the patience of whoever waits.
HUNG_AFTER_S = 30.0

logger = logging.getLogger("marketplace.forks")


class Pulse:
    """When a process last showed that it is alive: one number in memory that it shares with its parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def beat(self) -> None:
        """Show that this process is alive."""
        struct.pack_into("d", self._memory, 0, time.monotonic())

    def age_s(self) -> float:
        """Return the seconds since the last beat; 0 of a process that has not begun to beat."""
        (last,) = struct.unpack_from("d", self._memory)
        return time.monotonic() - last if last else 0.0


@dataclass(frozen=True)
class Child:
    """A running process."""

    name: str
    started: float
    pulse: Pulse = field(default_factory=Pulse)


_own_pulse = Pulse()


def beat() -> None:
    """Show that this process is alive. One that has begun with it and stops is killed and replaced."""
    _own_pulse.beat()


def keep_alive(tasks: Mapping[str, Callable[[], None]]) -> int:
    """Run each task in a process of its own until SIGTERM, which is passed on; then wait until all have ended.

    Each process notes its id in the data folder, for `manage.py status`. Returns the exit code.
    """
    _prepare()
    children: dict[int, Child] = {}
    while True:
        for name in tasks.keys() - {child.name for child in children.values()}:
            child = Child(name, time.monotonic())
            children[_fork(child, tasks[name])] = child
        received = signal.sigtimedwait(HANDLED, LOOK_S)
        if received is None:
            _kill_hung(children)
            continue
        if received.si_signo != signal.SIGCHLD:
            return _drain(list(children))
        for pid, status in _ended():
            child = children.pop(pid)
            logger.warning("%s (process %s) ended with status %s and is replaced", child.name, pid, status)
            if time.monotonic() - child.started < LEAST_LIFE_S:
                time.sleep(LEAST_LIFE_S)


def _prepare() -> None:
    """Make sure that no two processes ever share a database connection, and that memory stays shared."""
    connections.close_all()
    gc.collect()
    gc.freeze()
    paths.pids_dir(paths.data_dir()).mkdir(parents=True, exist_ok=True)
    # Signals are taken from sigwait(), one at a time, so that none falls between two lines. Without a handler,
    # some systems would throw this one away.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _fork(child: Child, task: Callable[[], None]) -> int:
    global _own_pulse
    pid = os.fork()
    if pid == 0:
        _own_pulse = child.pulse
        _run(child.name, task)
    return pid


def _kill_hung(children: Mapping[int, Child]) -> None:
    """Kill what has stopped to beat: its death is then noticed like any other."""
    for pid, child in children.items():
        if child.pulse.age_s() > HUNG_AFTER_S:
            logger.error("%s (process %s) hangs and is killed", child.name, pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _run(name: str, task: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        _note_pid(name)
        task()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0
    except BaseException:
        logger.exception("%s failed", name)
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
        # Not sys.exit(): what the parent would clean up is not the child's.
        os._exit(code)


def _note_pid(name: str) -> None:
    folder = paths.pids_dir(paths.data_dir())
    draft = folder / f".{name}-{os.getpid()}"
    draft.write_text(str(os.getpid()))
    draft.replace(folder / name)


def _ended() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def _drain(pids: list[int]) -> int:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return 0
