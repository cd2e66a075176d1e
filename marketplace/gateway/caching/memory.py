"""The answers that one process has at hand: the latest used ones, up to a size."""

from collections import OrderedDict
from datetime import datetime

from marketplace.gateway.caching.entries import Entry

MOST_BYTES = 32 * 1024 * 1024
_OF_A_ROW = 400
"""What an entry takes beside its body, roughly."""


class Memory:
    """Entries by key, each until it expires; what was used longest ago goes first when there is no more room."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, tuple[Entry, datetime]] = OrderedDict()
        self.bytes = 0

    def get(self, key: bytes, *, at: datetime) -> Entry | None:
        """Return the entry of a key that has not expired."""
        found = self._entries.get(key)
        if found is None:
            return None
        entry, expires_at = found
        if expires_at <= at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry, *, expires_at: datetime) -> None:
        """Take an entry in, and let go of others when there is no room for all."""
        self._drop(key)
        self._entries[key] = (entry, expires_at)
        self.bytes += _size(entry)
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self.bytes -= _size(found[0])


def _size(entry: Entry) -> int:
    return len(entry.body) + _OF_A_ROW
