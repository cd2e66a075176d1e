"""The meter: what an app makes once, and records its usage with."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

from . import settings as configuration
from .calls import KNOWN_ABOUT, Find
from .events import Entry, new_entry, new_id
from .fields import ALL, About, Fields, given
from .metered import Metered
from .problems import Callback
from .recorder import Recorder
from .responses import read_usage

log = logging.getLogger("halfpenny")

KNOWN = frozenset(ALL)
F = TypeVar("F", bound=Callable[..., Any])


class Meter:
    """Records usage of one app. Make one for each process, at import if you like; it may be used by any thread.

    Raises ConfigurationError when url, key or app id are neither given nor in the environment. Nothing else is raised
    but TypeError for a field that does not exist.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        app_id: str | None = None,
        *,
        environment: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        durable: bool | None = None,
        disabled: bool | None = None,
        batch_events: int = 500,
        flush_interval_s: float = 1.0,
        fsync_interval_s: float = 0.05,
        timeout_s: float = 30.0,
        max_spool_bytes: int = 256 * 1024 * 1024,
        models: Mapping[str, str] | None = None,
        on_problem: Callback | None = None,
    ) -> None:
        self.settings = configuration.read(
            os.environ,
            url=url, key=key, app_id=app_id, environment=environment, spool_dir=spool_dir, durable=durable,
            disabled=disabled, batch_events=batch_events, flush_interval_s=flush_interval_s,
            fsync_interval_s=fsync_interval_s, timeout_s=timeout_s, max_spool_bytes=max_spool_bytes, models=models,
        )  # fmt: skip
        self._on_problem = on_problem
        self._is_durable = self.settings.is_durable
        self._is_disabled = self.settings.is_disabled
        self._recorder = self._new_recorder()
        _meters.add(self)
        self._send_what_was_left()

    @overload
    def meter(self, function: F, /) -> F: ...
    @overload
    def meter(
        self, function: None = None, /, *, find: Find | None = None, **about: Unpack[About]
    ) -> Metered: ...

    def meter(self, function: Any = None, /, *, find: Find | None = None, **about: Unpack[About]) -> Any:
        """Meter calls: ``@meter.meter``, ``@meter.meter(feature=…)`` or ``with meter.meter(…) as call``.

        Usage is read from what the function returns or yields; ``find`` takes the provider's response out of that,
        if it is inside of something else.
        """
        metered = Metered(lambda: self, given(about, known=KNOWN_ABOUT), find=find)
        return metered if function is None else metered(function)

    def record(self, response: Any = None, *, event_id: str | None = None, **fields: Unpack[Fields]) -> str:
        """Record one usage event: from a provider's response, from counts, or both (counts that are given stand).

        Returns the event's id. With an ``event_id`` of your own, the same usage recorded twice counts once.
        """
        chosen = given(fields, known=KNOWN)
        if response is not None:
            chosen = {**self._read(response), **chosen}
        return self.put(chosen, event_id=event_id)

    def put(self, fields: dict[str, Any], *, event_id: str | None = None) -> str:
        """Take the fields of an event as they are; return its id."""
        try:
            if event_id is None:
                entry = new_entry(fields)
            else:
                entry = Entry(event_id, time.time_ns(), fields)
            if not self._is_disabled:
                self._recorder.put(entry, is_durable=self._is_durable)
            return entry.event_id
        except Exception:
            # The host app's edge: its work goes on whatever happens to ours.
            log.exception("Recording usage failed.")
            return event_id or new_id(time.time_ns())

    def model_name(self, name: str | None) -> str | None:
        """Return the catalogue's name for what a provider calls a model."""
        return self.settings.models.get(name, name) if name is not None else None

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything recorded so far is at the server; False when it is not, and stays in the spool."""
        return self._is_disabled or self._recorder.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush and end the threads; happens by itself when the interpreter ends. What is recorded later is spooled."""
        if not self._is_disabled:
            self._recorder.close(timeout_s)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many events of this process were accepted, duplicates, rejected, in conflict, dropped, and wait."""
        recorder = self._recorder
        return {**recorder.sender.counts, "dropped": recorder.dropped, "pending": recorder.spool.pending}

    @property
    def rejected_file(self) -> Path:
        """Return the file that keeps the events which the server will not count."""
        return self._recorder.problems.path

    def _read(self, response: Any) -> dict[str, Any]:
        try:
            reading = read_usage(response)
        except Exception:
            # The host app's edge, as above: a response may be anything.
            log.exception("Reading the usage of a response failed.")
            return {}
        if reading is None:
            log.warning("No usage was found in a response.")
            return {}
        model = self.model_name(reading.model)
        return {**reading.usage.fields(), **({"model": model} if model else {})}

    def _new_recorder(self) -> Recorder:
        return Recorder(self.settings, on_problem=self._on_problem)

    def _send_what_was_left(self) -> None:
        """Start at once if a process before us left something, also when we never record anything."""
        try:
            if not self._is_disabled and self._recorder.spool.paths():
                self._recorder.start()
        except OSError:
            log.exception("The spool %s cannot be read.", self.settings.folder)


_meters: "weakref.WeakSet[Meter]" = weakref.WeakSet()
_held: list[threading.Lock] = []
LONGEST_WAIT_TO_FORK_S = 1.0


def _before_fork() -> None:
    """Let no thread be in the middle of opening or closing a file: a copy of its lock would live on in the child."""
    for meter in list(_meters):
        lock = meter._recorder.spool.lock
        if lock.acquire(timeout=LONGEST_WAIT_TO_FORK_S):
            _held.append(lock)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    """Begin anew: threads do not survive a fork, and what waits is the parent's to send."""
    _held.clear()
    for meter in list(_meters):
        meter._recorder.abandon()
        meter._recorder = meter._new_recorder()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
