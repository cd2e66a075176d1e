"""What is recorded and not yet at the server: segments on disk, each owned by one process."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .segments import SUFFIX, Segment

log = logging.getLogger("halfpenny")


# Without a disk, memory keeps this much.
MOST_MEMORY = 32 * 1024 * 1024


class SpoolFull(OSError):
    """The spool has reached its largest size; nothing was written."""


@dataclass(frozen=True)
class Batch:
    """Lines of one segment, in the order in which they were recorded."""

    segment: Segment
    lines: list[bytes]
    length: int


class Spool:
    """The segments of this process: one that grows, older ones, and those adopted from processes that are gone.

    One thread appends, one reads and settles; the lock is held for reads and writes of the page cache, never for the
    network or a callback, and for a sync only when a file is new.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, max_bytes: int) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self._progress = threading.Condition(self.lock)
        self.pending = 0
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._growing: Segment | None = None
        self._older: deque[Segment] = deque()
        self._others_bytes = 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines behind the others. Raises SpoolFull, or OSError when the disk refuses."""
        data = b"".join(lines)
        with self.lock:
            try:
                segment = self._room_for(len(data))
                segment.append(data)
            except SpoolFull:
                raise
            except OSError as error:
                segment = self._room_in_memory(len(data), error)
                segment.append(data)
            segment.unsettled_lines += len(lines)
            self.pending += len(lines)

    def sync(self) -> None:
        """Wait until everything written is on the disk. Raises OSError."""
        with self.lock:
            segments = [segment for segment in self._own() if segment.is_dirty]
        for segment in segments:
            segment.sync()

    def peek(self, *, most_events: int, most_bytes: int) -> Batch | None:
        """Return what is to be sent next, the oldest segment first; None when all is settled."""
        with self.lock:
            while (segment := self._next()) is not None:
                lines = segment.read(most_bytes).split(b"\n")[:-1][:most_events]
                if lines:
                    return Batch(segment, lines, sum(map(len, lines)) + len(lines))
                if segment is self._growing:
                    return None
                self._drop(segment)
            return None

    def settle(self, batch: Batch) -> None:
        """Forget what the server has answered for; a segment without anything else is deleted."""
        with self.lock:
            segment = batch.segment
            segment.settle(batch.length)
            segment.unsettled_lines -= len(batch.lines)
            self.pending -= len(batch.lines)
            if segment.is_settled and (segment is not self._growing or self._is_full(segment)):
                self._drop(segment)
            self._progress.notify_all()

    def wait_settled(self, timeout_s: float) -> bool:
        """Wait until all that is in these segments now is settled; False when the time is over."""
        with self.lock:
            marks = [(segment, segment.end) for segment in self._own()]
            return self._progress.wait_for(
                lambda: all(segment.is_closed or segment.settled >= end for segment, end in marks), timeout_s
            )

    def adopt(self) -> int:
        """Take over the segments of processes that are gone, and see how large all are; return how many were taken."""
        with self.lock:
            own = {segment.path for segment in self._own()}
            found = [path for path in self.paths() if path not in own]
            adopted = [segment for path in found if (segment := Segment.adopt(path)) is not None]
            for segment in adopted:
                if segment.is_settled:
                    segment.remove()
                    continue
                segment.unsettled_lines = _count_lines(segment)
                self.pending += segment.unsettled_lines
                self._older.append(segment)
            taken = {segment.path for segment in adopted}
            self._others_bytes = sum(_size(path) for path in found if path not in taken)
            return len(adopted)

    def paths(self) -> list[Path]:
        """Return all segments, whoever owns them, the oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(self.folder.glob(f"*{SUFFIX}"), key=_modified_at)

    def close(self) -> None:
        """Give up all segments: what is settled is deleted, the rest is for who comes next."""
        with self.lock:
            for segment in self._own():
                segment.remove() if segment.is_settled else segment.give_up()
            self._growing = None
            self._older.clear()
            self.pending = 0

    def abandon(self) -> None:
        """Close the files in a forked child: they are the parent's, and open copies would keep them locked."""
        for segment in self._own():
            segment.give_up()
        self._growing = None
        self._older.clear()

    def _is_full(self, segment: Segment) -> bool:
        """Tell whether the next lines go elsewhere; a segment in memory is left for the disk as soon as it may be."""
        return segment.end >= self._segment_bytes or (segment.path is None and segment.is_settled)

    def _own(self) -> list[Segment]:
        return [*self._older, *([self._growing] if self._growing else [])]

    def _next(self) -> Segment | None:
        return self._older[0] if self._older else self._growing

    def _room_for(self, length: int) -> Segment:
        used = sum(segment.end for segment in self._own()) + self._others_bytes
        if used + length > self._max_bytes:
            raise SpoolFull(f"the spool {self.folder} has reached {self._max_bytes} bytes")
        if self._growing is not None and self._is_full(self._growing):
            if self._growing.is_settled:
                self._growing.remove()
            else:
                self._older.append(self._growing)
            self._growing = None
        if self._growing is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._growing = Segment.create(self.folder)
        return self._growing

    def _room_in_memory(self, length: int, error: OSError) -> Segment:
        growing = self._growing
        if growing is None or growing.path is not None:
            log.warning("The spool %s cannot be written (%s); usage is kept in memory.", self.folder, error)
            if growing is not None:
                self._older.append(growing)
            self._growing = growing = Segment.in_memory()
        if growing.end + length > MOST_MEMORY:
            raise SpoolFull(
                f"the spool {self.folder} cannot be written, and memory has reached {MOST_MEMORY} bytes"
            )
        return growing

    def _drop(self, segment: Segment) -> None:
        if segment is self._growing:
            self._growing = None
        else:
            self._older.remove(segment)
        self.pending -= segment.unsettled_lines
        segment.remove()


def _count_lines(segment: Segment) -> int:
    whole = segment.read(max(segment.end - segment.settled, 1))
    return whole.count(b"\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
