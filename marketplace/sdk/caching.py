"""An exact cache for answers that come out the same: the key is made of everything that they depend on.

A hit is only ever the answer to the very same request of the same tenant, app, version and model. What ends soon is
asked for once by all who want it at that time.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHORTEST_S, LONGEST_S = 300.0, 1800.0
MISSING = object()


def cache_key(*, tenant: str, app: str, version: str, model: str, body: Mapping[str, Any]) -> str:
    """Make the key of a request: two of them are equal only if all of these are.

    The body is normalized as JSON with its names sorted, so their order does not matter; everything else does.

    >>> a = cache_key(tenant="t", app="a", version="1", model="m", body={"x": 1, "y": [2]})
    >>> a == cache_key(tenant="t", app="a", version="1", model="m", body={"y": [2], "x": 1})
    True
    >>> a == cache_key(tenant="t", app="a", version="2", model="m", body={"x": 1, "y": [2]})
    False
    """
    parts = json.dumps([tenant, app, version, model, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(parts.encode()).hexdigest()


def is_cacheable(body: Mapping[str, Any]) -> bool:
    """Tell whether a chat request has one right answer: temperature 0, no tools, one choice, not streamed.

    >>> is_cacheable({"temperature": 0}), is_cacheable({}), is_cacheable({"temperature": 0, "tools": [{}]})
    (True, False, False)
    """
    is_fixed = body.get("temperature") == 0 and body.get("temperature") is not False
    is_single = body.get("n") in (None, 1) and body.get("best_of") in (None, 1)
    return is_fixed and is_single and not (body.get("tools") or body.get("functions") or body.get("stream"))


def is_keepable(answer: Mapping[str, Any]) -> bool:
    """Tell whether a completion came to its own end, and so may be given again."""
    choices = answer.get("choices")
    return bool(choices) and all(one.get("finish_reason") == "stop" for one in choices or ())


@dataclass
class _Flight:
    """A call under way that others wait for."""

    is_over: threading.Event = field(default_factory=threading.Event)
    value: Any = MISSING
    error: BaseException | None = None


class ExactCache:
    """Keeps up to ``most`` values of JSON for ``ttl_s`` each; those used longest ago go first.

    With a ``path`` they are in a file, which processes may share and which outlives them. A file that cannot be read or
    written is as if empty: a cache never makes a call fail. ``call`` makes one call for all threads that want the same
    at once, ``acall`` for all tasks of a loop.

    >>> cache = ExactCache(ttl_s=600)
    >>> cache.call("k", lambda: {"text": "Yes."}), cache.call("k", lambda: {"text": "asked again"})
    ({'text': 'Yes.'}, {'text': 'Yes.'})
    >>> cache.hits, cache.misses
    (1, 1)
    """

    def __init__(
        self,
        *,
        ttl_s: float = SHORTEST_S,
        most: int = 10_000,
        path: str | Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if ttl_s <= 0 or most < 1:
            raise ValueError("ttl_s is above 0, and most at least 1")
        self._ttl_s, self._clock = ttl_s, clock
        self._store: _Memory | _File = _File(Path(path), most) if path is not None else _Memory(most)
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}
        self._tasks: dict[tuple[int, str], asyncio.Task[Any]] = {}
        self.hits = self.misses = self.joined = 0

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value that has not expired."""
        with self._lock:
            text = self._store.get(key, self._clock())
            if text is None:
                self.misses += 1
                return default
            self.hits += 1
        return json.loads(text)

    def put(self, key: str, value: Any, *, ttl_s: float | None = None) -> None:
        """Keep a value, in place of the one before."""
        text = json.dumps(value)
        now = self._clock()
        with self._lock:
            self._store.put(key, text, now + (self._ttl_s if ttl_s is None else ttl_s), now)

    def forget(self, key: str | None = None) -> None:
        """Drop one value, or all of them."""
        with self._lock:
            self._store.forget(key)

    def call(self, key: str, make: Callable[[], Any], *, keep: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the kept value, or make it: once for all threads that want it now. Its error is theirs too.

        ``keep`` says whether a value may be given again.
        """
        found = self.get(key, MISSING)
        if found is not MISSING:
            return found
        flight, is_mine = self._board(key)
        if not is_mine:
            flight.is_over.wait()
            if flight.error is not None:
                raise flight.error
            return flight.value
        try:
            flight.value = make()
            if keep(flight.value):
                self.put(key, flight.value)
            return flight.value
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.is_over.set()

    async def acall(
        self, key: str, make: Callable[[], Awaitable[Any]], *, keep: Callable[[Any], bool] = lambda _: True
    ) -> Any:
        """Return the kept value, or make it once for all tasks that want it now.

        A task that is canceled leaves the others their call.
        """
        found = self.get(key, MISSING)
        if found is not MISSING:
            return found
        place = (id(asyncio.get_running_loop()), key)
        task = self._tasks.get(place)
        if task is None:
            task = self._tasks[place] = asyncio.ensure_future(self._made(key, make, keep))
            task.add_done_callback(lambda _: self._tasks.pop(place, None))
        else:
            self.joined += 1
        return await asyncio.shield(task)

    async def _made(self, key: str, make: Callable[[], Awaitable[Any]], keep: Callable[[Any], bool]) -> Any:
        value = await make()
        if keep(value):
            self.put(key, value)
        return value

    def _board(self, key: str) -> tuple[_Flight, bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                self.joined += 1
                return flight, False
            self._flights[key] = flight = _Flight()
            return flight, True


class _Memory:
    """Values by key, the one used longest ago first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, key: str, now: float) -> str | None:
        row = self._rows.get(key)
        if row is None:
            return None
        if row[0] <= now:
            del self._rows[key]
            return None
        self._rows.move_to_end(key)
        return row[1]

    def put(self, key: str, text: str, expires_at: float, now: float) -> None:
        self._rows[key] = (expires_at, text)
        self._rows.move_to_end(key)
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def forget(self, key: str | None) -> None:
        if key is None:
            self._rows.clear()
        else:
            self._rows.pop(key, None)


class _File:
    """The same in a file of SQLite, by a connection for each process."""

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        self._puts = 0
        self._connection: tuple[int, sqlite3.Connection] | None = None

    def get(self, key: str, now: float) -> str | None:
        with suppress(sqlite3.Error, OSError):
            found = (
                self._open()
                .execute(
                    "UPDATE kept SET used_at = ? WHERE key = ? AND expires_at > ? RETURNING value",
                    (now, key, now),
                )
                .fetchone()
            )
            return found[0] if found else None
        return None

    def put(self, key: str, text: str, expires_at: float, now: float) -> None:
        with suppress(sqlite3.Error, OSError):
            self._open().execute(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", (key, text, expires_at, now)
            )
            self._puts += 1
            if self._puts % 100 == 1:
                self._trim(now)

    def forget(self, key: str | None) -> None:
        with suppress(sqlite3.Error, OSError):
            self._open().execute("DELETE FROM kept WHERE ? IS NULL OR key = ?", (key, key))

    def _trim(self, now: float) -> None:
        """Drop what has expired, and what was used longest ago beyond the most that is kept."""
        connection = self._open()
        connection.execute("DELETE FROM kept WHERE expires_at <= ?", (now,))
        connection.execute(
            "DELETE FROM kept WHERE key IN (SELECT key FROM kept ORDER BY used_at DESC LIMIT -1 OFFSET ?)",
            (self._most,),
        )

    def _open(self) -> sqlite3.Connection:
        pid = os.getpid()
        if self._connection is None or self._connection[0] != pid:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=2, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT, expires_at REAL, used_at REAL)"
            )
            self._connection = (pid, connection)
        return self._connection[1]
