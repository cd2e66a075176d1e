"""A file of the spool: lines of JSON behind a header that says how far they are settled.

Who holds the file's lock owns it. The kernel drops the lock when the process dies, however it dies, and then another
process may adopt the file. The header is rewritten in place; when it cannot be read, everything counts as unsettled and
is sent again, which the server answers with "duplicate".
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
from pathlib import Path

HEADER = b"halfpenny-spool 1 %020d\n"
START = len(HEADER % 0)
SUFFIX = ".spool"


class Segment:
    """An open, locked file of the spool. Offsets count from its start; not safe for several threads."""

    def __init__(self, path: Path | None, fd: int) -> None:
        self.path = path
        self.end = max(os.fstat(fd).st_size, START)
        self.settled = _read_settled(fd, self.end)
        self.unsettled_lines = 0
        self.is_adopted = False
        self.is_closed = False
        self.is_dirty = False
        self._fd = fd

    @classmethod
    def create(cls, folder: Path) -> "Segment":
        """Make a new file and own it. Raises OSError."""
        while True:
            path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Between these two lines another process may adopt the empty file, and remove it.
            if _lock(fd):
                os.pwrite(fd, HEADER % START, 0)
                _sync_folder(folder)
                return cls(path, fd)
            os.close(fd)

    @classmethod
    def in_memory(cls) -> "Segment":
        """Make a segment without a name, for when the disk refuses: it lives as long as the process."""
        if hasattr(os, "memfd_create"):
            return cls(None, os.memfd_create("halfpenny-spool"))
        with tempfile.TemporaryFile() as file:
            return cls(None, os.dup(file.fileno()))

    @classmethod
    def adopt(cls, path: Path) -> "Segment | None":
        """Own a file whose process is gone; None when somebody owns it, or it has just been removed."""
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:
            return None
        if not _lock(fd):
            os.close(fd)
            return None
        segment = cls(path, fd)
        segment.is_adopted = True
        segment._drop_torn_line()
        return segment

    @property
    def is_settled(self) -> bool:
        return self.settled >= self.end

    def append(self, data: bytes) -> None:
        """Write whole lines at the end. Raises OSError; then none of them is there."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], self.end + written)
        except OSError:
            os.ftruncate(self._fd, self.end)
            raise
        self.end += written
        self.is_dirty = True

    def sync(self) -> None:
        """Wait until everything written is on the disk. Raises OSError."""
        try:
            self.is_dirty = False
            os.fsync(self._fd)
        except OSError:
            # Another thread has seen all of it settled meanwhile, and closed the file.
            if not self.is_closed:
                raise

    def read(self, most_bytes: int) -> bytes:
        """Return whole unsettled lines: as many as fit, at least one."""
        while True:
            data = os.pread(self._fd, min(most_bytes, self.end - self.settled), self.settled)
            whole = data[: data.rfind(b"\n") + 1]
            if whole or self.settled + len(data) >= self.end:
                return whole
            most_bytes *= 2

    def settle(self, length: int) -> None:
        """Remember that these bytes need not be sent any more. Not synced: forgetting it costs a duplicate."""
        self.settled += length
        os.pwrite(self._fd, HEADER % self.settled, 0)

    def remove(self) -> None:
        """Delete the file and give it up."""
        if self.path is not None:
            # What cannot be removed is adopted later, found settled, and removed then.
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.give_up()

    def give_up(self) -> None:
        """Close the file; whoever comes next may adopt it."""
        self.is_closed = True
        os.close(self._fd)

    def _drop_torn_line(self) -> None:
        """Cut off the end of a line that its process did not live to finish."""
        position = self.end
        while position > START:
            size = min(65_536, position - START)
            newline = os.pread(self._fd, size, position - size).rfind(b"\n")
            if newline >= 0:
                position += newline + 1 - size
                break
            position -= size
        if position < self.end:
            os.ftruncate(self._fd, position)
        self.end = max(position, START)
        self.settled = min(self.settled, self.end)


def _lock(fd: int) -> bool:
    """Take the lock of a file that still has a name."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(fd).st_nlink > 0


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_settled(fd: int, end: int) -> int:
    header = os.pread(fd, START, 0)
    number = header[-21:-1]
    is_whole = len(header) == START and number.isdigit() and header == HEADER % int(number)
    return min(max(int(number), START), end) if is_whole else START
