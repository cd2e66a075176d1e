"""The route policy of an app, fetched from the marketplace and kept on disk: it goes on deciding when nobody is in reach."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from .errors import HalfpennyError
from .requesting import Reply
from .route_policies import RoutePolicy


class Fetches(Protocol):
    """A client, as far as a store needs it."""

    def fetch_route_policy(self, app: str, *, etag: str = "") -> Reply: ...


class PolicyStore:
    """Gives the policy in force, at most ``refresh_s`` old where the marketplace can be reached.

    One thread fetches; the others go on with what there is. ``path`` is a file that outlives the process and may be
    shared. A marketplace that is away, a key that is refused, a table that cannot be read: the one before stays, and
    ``problem`` says why.

    >>> class Nobody:
    ...     def fetch_route_policy(self, app, *, etag=""):
    ...         raise HalfpennyError("offline")
    >>> store = PolicyStore("where2eat", Nobody())
    >>> store.policy(), store.problem
    (None, 'offline')
    """

    def __init__(
        self,
        app: str,
        client: Fetches,
        *,
        path: str | Path | None = None,
        refresh_s: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._client = app, client
        self._path = Path(path) if path is not None else None
        self._refresh_s, self._clock = refresh_s, clock
        self._fetching = threading.Lock()
        self._etag = ""
        self._policy: RoutePolicy | None = None
        self._looked_at = float("-inf")
        self.fetched_at: float | None = None
        self.problem = ""
        self._load()

    def policy(self) -> RoutePolicy | None:
        """Return the policy in force; None when the app has none, or it was never heard of."""
        if self._clock() - self._looked_at >= self._refresh_s:
            is_first = self.fetched_at is None
            if self._fetching.acquire(blocking=is_first):
                try:
                    if self._clock() - self._looked_at >= self._refresh_s:
                        self._refresh()
                finally:
                    self._fetching.release()
        return self._policy

    def refresh(self) -> bool:
        """Ask now; tells whether the marketplace answered."""
        with self._fetching:
            return self._refresh()

    def _refresh(self) -> bool:
        self._looked_at = self._clock()
        try:
            reply = self._client.fetch_route_policy(self._app, etag=self._etag)
            if reply.status != 304:
                found = reply.json().get("results") or []
                self._take(found[0] if found else None, reply.header("etag"))
        except (HalfpennyError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem = str(error) or type(error).__name__
            return False
        self.problem, self.fetched_at = "", self._looked_at
        return True

    def _take(self, data: Mapping[str, Any] | None, etag: str) -> None:
        self._policy = RoutePolicy.read(data) if data is not None else None
        self._etag = etag
        self._keep({"etag": etag, "fetched_at": self._looked_at, "policy": data})

    def _keep(self, content: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        # In one step: another process reads the old file or the new one, and never half of either.
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_text(json.dumps(content))
            part.replace(self._path)

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            content = json.loads(self._path.read_text())
            data = content["policy"]
            policy = RoutePolicy.read(data) if data is not None else None
            self._etag, self.fetched_at = str(content["etag"]), float(content["fetched_at"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self._policy = policy
