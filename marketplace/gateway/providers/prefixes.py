"""Which beginnings of prompts come again and again, so that having them cached pays.

Writing to a provider's cache costs a quarter more than plain input, reading from it a tenth. A beginning that was sent
once is sent plainly; one that comes again while the first would still be cached is worth writing.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic

CACHED_FOR_S = 300.0
LEAST_BYTES = 4_096
"""About a thousand tokens: providers cache nothing shorter."""
MOST_REMEMBERED = 4_096


class PrefixMemory:
    """Remembers beginnings for as long as a provider would."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def is_repeated(self, prefix: bytes) -> bool:
        """Say whether this beginning was sent within the last minutes, and remember it."""
        if len(prefix) < LEAST_BYTES:
            return False
        key, now = blake2b(prefix, digest_size=16).digest(), self._clock()
        last = self._seen.pop(key, None)
        self._seen[key] = now
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return last is not None and now - last < CACHED_FOR_S
