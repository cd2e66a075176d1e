"""The thread that takes events from the app's threads and puts them on disk."""

import logging
import queue
import threading
import time
from typing import Any

from .events import Entry, encode
from .problems import Problem, Problems
from .sender import Sender
from .spool import Spool

log = logging.getLogger("halfpenny")

MOST_AT_ONCE = 2_000
# Beyond this many the disk has stood still for long; memory must not grow with it.
MOST_WAITING = 100_000


class Barrier(threading.Event):
    """Stands in the queue behind events; set when all of them are on disk."""

    is_last = False


class Writer:
    """Writes events in the order of the queue: at once into the file, and a moment later, together, onto the disk."""

    def __init__(
        self,
        spool: Spool,
        problems: Problems,
        sender: Sender,
        *,
        always: dict[str, Any],
        fsync_interval_s: float,
        linger_s: float,
    ) -> None:
        # Put by the app's threads; simple queues may be put into from signal handlers and destructors.
        self.queue: queue.SimpleQueue[Entry | Barrier] = queue.SimpleQueue()
        self._spool = spool
        self._problems = problems
        self._sender = sender
        self._always = always
        self._fsync_interval_s = fsync_interval_s
        self._linger_s = linger_s
        self._sync_at: float | None = None
        self.dropped = 0
        self.thread = threading.Thread(target=self._run, name="halfpenny-writer", daemon=True)

    def barrier(self, *, is_last: bool = False) -> Barrier:
        """Put a barrier behind everything that was put so far; the last one ends the thread."""
        barrier = Barrier()
        barrier.is_last = is_last
        self.queue.put(barrier)
        return barrier

    def drain(self) -> None:
        """Write what waits, in the caller's thread: for when there is no thread any more."""
        self._round(block=False, is_due=True)

    def _run(self) -> None:
        while not self._round(block=True):
            # Whoever puts into a queue that nobody waits at need not wake anybody, which is most of what it costs.
            if self._linger_s:
                time.sleep(self._linger_s)

    def _round(self, *, block: bool, is_due: bool = False) -> bool:
        """Take what there is, write it, sync when it is time; tell whether the last barrier was among it."""
        entries, barriers = self._take(block=block)
        try:
            if entries:
                self._write(entries)
            self._sync(is_due=is_due or bool(barriers))
        except Exception:
            # A thread's edge; these events are lost, the next ones need not be.
            log.exception("Writing %d usage events failed.", len(entries))
        for barrier in barriers:
            barrier.set()
        return any(barrier.is_last for barrier in barriers)

    def _take(self, *, block: bool) -> tuple[list[Entry], list[Barrier]]:
        entries: list[Entry] = []
        barriers: list[Barrier] = []
        timeout = None if self._sync_at is None else max(self._sync_at - time.monotonic(), 0.0)
        try:
            item = self.queue.get(block, timeout)
            while True:
                barriers.append(item) if isinstance(item, Barrier) else entries.append(item)
                if len(entries) >= MOST_AT_ONCE:
                    break
                item = self.queue.get_nowait()
        except queue.Empty:
            pass
        return entries, barriers

    def _write(self, entries: list[Entry]) -> None:
        lines, problems = self._encode(entries)
        try:
            if lines:
                self._spool.append(list(lines.values()))
        except OSError as error:
            self.dropped += len(lines)
            problems += [
                _problem("dropped", entry, f"There is no room: {error}.")
                for entry in map(entries.__getitem__, lines)
            ]
        else:
            self._sync_at = self._sync_at or time.monotonic() + self._fsync_interval_s
            self._sender.notify()
        self._problems.tell(problems)

    def _encode(self, entries: list[Entry]) -> tuple[dict[int, bytes], list[Problem]]:
        """Return the line of each entry, by its place, and what is wrong with those that have none."""
        lines: dict[int, bytes] = {}
        problems: list[Problem] = []
        for place, entry in enumerate(entries):
            try:
                lines[place] = encode(entry, always=self._always)
            except (ValueError, TypeError, RecursionError) as error:
                problems.append(_problem("damaged", entry, f"The event has no JSON: {error}."))
        return lines, problems

    def _sync(self, *, is_due: bool) -> None:
        if self._sync_at is None or not (is_due or time.monotonic() >= self._sync_at):
            return
        self._sync_at = None
        try:
            self._spool.sync()
        except OSError as error:
            log.warning("The spool cannot be synced (%s); a power cut may lose its end.", error)


def _problem(status: str, entry: Entry, message: str) -> Problem:
    return Problem(status, {"id": entry.event_id, **entry.fields}, message=message)
