"""A process that makes a call and is killed, by SIGKILL to itself, at one exact step: before any word to PostgreSQL.

What is on disk after one word is what is there before the next. The steps are counted where psycopg sends them, so the
code that is killed knows nothing of it.
"""

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from multiprocessing import get_context
from typing import Any

import psycopg
from django.db import connection

from metering.attribution import Dimensions

PATIENCE_S = 60
# What a client that died left open in this database: PostgreSQL notices a moment later, and until then its locks hold.
UNENDED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND state <> 'idle'
"""


class Steps:
    """Counts what is said to PostgreSQL, and ends the process at a given place."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0
        self._lock = threading.Lock()

    def around(self, name: str, owner: type) -> None:
        """Count every call of a method of psycopg."""
        inner = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return inner(*args, **kwargs)

        setattr(owner, name, counted)

    def step(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(work: str, *, database: str, last: int, **arguments: Any) -> int:
    """Run ``module:function`` in a process of its own that dies at step ``last``; give its exit code, 0 if it ended."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.races.loaded"])
    process = context.Process(target=_work, args=(work, database, last, arguments))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "it neither ended nor died"
    return process.exitcode


def wait_until_let_go() -> None:
    """Wait until PostgreSQL has ended the transactions of the killed, as the sweep some minutes later would find it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with connection.cursor() as cursor:
            cursor.execute(UNENDED)
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.01)
    raise AssertionError("PostgreSQL still holds what the killed had open")


def _work(work: str, database: str, last: int, arguments: dict[str, Any]) -> None:
    importlib.import_module("tests.races.loaded").use(database)
    module, _, name = work.partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    function(steps=Steps(last), **arguments)
    importlib.import_module("django.db").connections.close_all()


def one_call(*, steps: Steps, who: Dimensions, at: datetime, tokens: int) -> None:
    """Hold, call and settle through the gateway's own group commit; the call to the provider is a step too."""
    calls = importlib.import_module("tests.races.calls")

    async def behave(caller: Any) -> None:
        hold_id = await caller.reserve(tokens=tokens)
        if hold_id is not None:
            steps.step()
            await caller.settle(hold_id, caller.usage(str(hold_id), tokens=tokens))
            steps.step()

    count_words(steps)
    tally = calls.let_them_call([who], behave, at=at, seed=0, callers=1)
    assert tally.errors == []


def many_calls(*, steps: Steps, whos: list[Dimensions], at: datetime, seed: int) -> None:
    """Do everything that callers do, 64 at once, until the process is killed in the midst of it."""
    calls = importlib.import_module("tests.races.calls")
    count_words(steps)
    calls.live(whos=whos, tries=6, at=at, seed=seed)


def count_words(steps: Steps) -> None:
    """Count every word to PostgreSQL as a step."""
    for owner, names in (
        (psycopg.Cursor, ("execute", "executemany", "copy")),
        (psycopg.Connection, ("commit", "rollback")),
    ):
        for name in names:
            steps.around(name, owner)


def run_together(work: str, *, database: str, lasts: list[int], arguments: list[dict[str, Any]]) -> list[int]:
    """Run one process for each of ``lasts`` at once; give their exit codes."""
    codes: list[int] = [0] * len(lasts)

    def run(place: int) -> None:
        codes[place] = run_until_killed(work, database=database, last=lasts[place], **arguments[place])

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(lasts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes
