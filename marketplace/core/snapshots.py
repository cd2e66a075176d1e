"""Data that every process keeps in memory and renews when its epoch in the database has moved on."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection

from marketplace.core.epochs import read_epochs

T = TypeVar("T")


class Snapshot(Generic[T]):
    """A value loaded once for each epoch. Readers get the old or the new value whole, never a mixture."""

    def __init__(self, epoch: str, load: Callable[[], T]) -> None:
        self.epoch = epoch
        self._load = load
        self._lock = threading.Lock()
        self._held: tuple[int, T] | None = None

    def at(self, epochs: dict[str, int]) -> T:
        """Return the value for epochs that were just read.

        The epoch is read before the data, so data that is newer than its label is possible and only costs one more
        load; data older than its label is not. Inside a transaction the value is loaded anew and not kept: epoch and
        data may be the transaction's own and vanish with it.
        """
        if connection.in_atomic_block:
            return self._load()
        wanted = epochs.get(self.epoch, 0)
        held = self._held
        if held is not None and held[0] == wanted:
            return held[1]
        with self._lock:
            held = self._held
            if held is None or held[0] != wanted:
                held = (wanted, self._load())
                self._held = held
            return held[1]

    def current(self) -> T:
        """Return the value of this moment (one small query when nothing changed)."""
        return self.at(read_epochs())

    def forget(self) -> None:
        """Drop the value; the next reader loads it."""
        self._held = None
