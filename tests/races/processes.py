"""Processes of their own on the test database, that all begin their work at the same instant.

Work is named (``tests.races.calls:use_up``) and found by the process itself.
"""

import importlib
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

PATIENCE_S = 60
_gate: Any = None


class Processes:
    """A fixed number of processes that live as long as this object; each takes one part of every task."""

    def __init__(self, count: int, *, database: str) -> None:
        self.count = count
        # Forked from a process that has loaded Django and opened nothing, not from this one with its connections.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.races.loaded"])
        self._executor = ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin, initargs=(database, context.Barrier(count))
        )

    def run(self, work: str, arguments: Sequence[dict[str, Any]]) -> list[Any]:
        """Run ``module:function`` once in each process, with one entry of ``arguments`` each; give the results."""
        assert len(arguments) == self.count
        return [future.result(PATIENCE_S) for future in self.start(work, arguments)]

    def start(self, work: str, arguments: Sequence[dict[str, Any]]) -> list[Any]:
        """Begin as ``run`` does, and give the futures."""
        return [self._executor.submit(_work, work, each) for each in arguments]

    def close(self) -> None:
        """End the processes."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _begin(database: str, gate: Any) -> None:
    global _gate
    _gate = gate
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module("tests.races.loaded").use(database)


def _end_with_parent() -> None:
    """End this process when the tests were killed and nobody is left to end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(work: str, arguments: dict[str, Any]) -> Any:
    module, _, name = work.partition(":")
    function = getattr(importlib.import_module(module), name)
    _forget()
    # No process begins before all are here: that is what makes it a race, and what gives each process one part.
    _gate.wait(PATIENCE_S)
    try:
        return function(**arguments)
    finally:
        importlib.import_module("django.db").connections.close_all()


def _forget() -> None:
    """Be like a new process: ids and snapshots of the last test's rows are gone."""
    importlib.import_module("metering.attribution").forget()
    importlib.import_module("quotas.counters").forget()
    importlib.import_module("metering.ratecards").price_book.forget()
    importlib.import_module("quotas.book").limit_book.forget()


def shuffled(things: Sequence[Any], seed: int) -> list[Any]:
    """Give the same things in an order of their own for each seed."""
    order = list(things)
    random.Random(seed).shuffle(order)
    return order


def cut(things: Sequence[Any], seed: int, *, largest: int) -> list[list[Any]]:
    """Cut into batches of 1 to ``largest``, differently for each seed."""
    dice = random.Random(seed)
    batches, start = [], 0
    while start < len(things):
        size = dice.randint(1, largest)
        batches.append(list(things[start : start + size]))
        start += size
    return batches


def until(condition: Any) -> None:
    """Wait for what another process does; for no longer than PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not happen within {PATIENCE_S} s")
        time.sleep(0.005)
