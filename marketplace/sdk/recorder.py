"""The way of an event: queue, disk, server. One recorder belongs to one process; a forked child makes its own."""

import atexit
import logging
import sys
import threading
import time

from .events import Entry
from .problems import Callback, Problem, Problems
from .sender import Sender
from .settings import Settings
from .spool import Spool
from .transport import Transport
from .writer import MOST_WAITING, Writer

log = logging.getLogger("halfpenny")

DURABLE_WAIT_S = 10.0
# Between two writes; what a kill may lose grows by as much.
LINGER_S = 0.005
AT_EXIT_S = 5.0
LEAST_FOR_DISK_S = 1.0


class Recorder:
    """Takes events from any thread. Its threads start with the first event, so that making one costs nothing."""

    def __init__(self, settings: Settings, *, on_problem: Callback | None) -> None:
        self._settings = settings
        self.problems = Problems(settings.folder, on_problem=on_problem)
        self.spool = Spool(
            settings.folder, segment_bytes=settings.segment_bytes, max_bytes=settings.max_spool_bytes
        )
        self.sender = Sender(
            self.spool,
            Transport(settings.url, settings.key, timeout_s=settings.timeout_s),
            self.problems,
            batch_events=settings.batch_events,
            batch_bytes=settings.batch_bytes,
            flush_interval_s=settings.flush_interval_s,
        )
        always = {"app_id": settings.app_id}
        if settings.environment:
            always["environment"] = settings.environment
        self.writer = Writer(
            self.spool,
            self.problems,
            self.sender,
            always=always,
            fsync_interval_s=settings.fsync_interval_s,
            linger_s=0.0 if settings.is_durable else LINGER_S,
        )
        self._overflowed = 0
        self.is_running = False
        self._is_closed = False
        self._starting = threading.Lock()

    def put(self, entry: Entry, *, is_durable: bool) -> None:
        """Take an event; when durable, return when it is on disk."""
        queue = self.writer.queue
        if queue.qsize() >= MOST_WAITING:
            self._drop(entry)
            return
        queue.put(entry)
        if not self.is_running:
            self.start()
        if self._is_closed:
            self._write_here()
        elif is_durable and not self.writer.barrier().wait(DURABLE_WAIT_S):
            log.error("The disk did not take the event %s in %d s.", entry.event_id, DURABLE_WAIT_S)

    def start(self) -> None:
        """Start the threads, once."""
        # Whoever holds it is starting them; a signal handler that records meanwhile must not wait for its own thread.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self.is_running or self._is_closed:
                return
            self.writer.thread.start()
            self.sender.thread.start()
            self.is_running = True
            _close_at_exit(self)
        except RuntimeError:
            # The interpreter is ending and starts no threads any more: to disk, for the next process.
            self._is_closed = True
        finally:
            self._starting.release()

    def flush(self, timeout_s: float) -> bool:
        """Bring everything that was put so far to disk and to the server; False when time did not suffice."""
        if not self.is_running:
            return self.writer.queue.empty()
        deadline = time.monotonic() + timeout_s
        if not self.writer.barrier().wait(timeout_s):
            return False
        self.sender.hurry()
        return self.spool.wait_settled(max(deadline - time.monotonic(), 0.0))

    def close(self, timeout_s: float) -> None:
        """Write everything, send what can be sent in time, and end the threads. What is left waits in the spool."""
        with self._starting:
            was_running, self._is_closed = self.is_running and not self._is_closed, True
        if not was_running:
            return
        atexit.unregister(self.close)
        deadline = time.monotonic() + timeout_s
        self.writer.barrier(is_last=True)
        self.writer.thread.join(max(timeout_s, LEAST_FOR_DISK_S))
        self.sender.close()
        self.sender.thread.join(max(deadline - time.monotonic(), 0.0))
        self._write_here()
        # A thread that still waits for an answer would settle into files that are closed; the process ends anyway.
        if not self.sender.thread.is_alive():
            self.spool.close()

    def abandon(self) -> None:
        """Let go, in a forked child, of what is the parent's."""
        self.is_running, self._is_closed = False, True
        atexit.unregister(self.close)
        self.spool.abandon()

    def _write_here(self) -> None:
        """Write what waits, when there is no thread any more that would."""
        if self.writer.thread.ident is not None:
            self.writer.thread.join(LEAST_FOR_DISK_S)
        if not self.writer.thread.is_alive():
            self.writer.drain()

    @property
    def dropped(self) -> int:
        """Return how many events found no room, in memory or on disk."""
        return self._overflowed + self.writer.dropped

    def _drop(self, entry: Entry) -> None:
        self._overflowed += 1
        if self._overflowed == 1 or self._overflowed % 10_000 == 0:
            message = f"{MOST_WAITING} events wait for the disk."
            self.problems.tell([Problem("dropped", {"id": entry.event_id, **entry.fields}, message=message)])


def _close_at_exit(recorder: Recorder) -> None:
    """Close before the interpreter ends, also when the app has let go of its meter.

    Children of multiprocessing end without `atexit` and have a way of their own.
    """
    atexit.register(recorder.close, AT_EXIT_S)
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, recorder.close, args=(AT_EXIT_S,), exitpriority=100)
