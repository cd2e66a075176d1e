"""One metered call: what was seen of it, and the events it becomes."""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, Unpack

from .fields import ABOUT, About, given
from .responses import Reading, read_usage
from .streams import AsyncWatched, Watched, is_async_stream
from .usage import Usage, field

log = logging.getLogger("halfpenny")

KNOWN_ABOUT = frozenset(ABOUT)
Find = Callable[[Any], Any]
T = TypeVar("T")


class Sink(Protocol):
    """Where a finished call hands its events."""

    def put(self, fields: dict[str, Any]) -> str:
        """Take the fields of one event; return its id."""
        ...

    def model_name(self, name: str | None) -> str | None:
        """Return the catalogue's name for what a provider calls a model."""
        ...


class Call:
    """A call under way. None of its methods raises on account of a response that it cannot read."""

    __slots__ = ("_about", "_find", "_is_finished", "_readings", "_sink", "_started_ns", "opener")

    def __init__(
        self, sink: Sink, about: dict[str, Any], *, find: Find | None, opener: object = None
    ) -> None:
        self.opener = opener
        self._sink = sink
        self._about = about
        self._find = find
        self._readings: list[Reading] = []
        self._started_ns = time.perf_counter_ns()
        self._is_finished = False

    def observe(self, response: T) -> T:
        """Count the usage in a provider's response, which is returned. Several responses add up."""
        try:
            reading = read_usage(response if self._find is None else self._find(response))
            if reading is not None:
                self._readings.append(reading)
        except Exception:
            # The host app's edge: what it returns may be anything, and metering must not break it.
            log.exception("Reading the usage of a response failed.")
        return response

    def watch(self, stream: Any) -> Any:
        """Return a stream, plain or asynchronous, that counts its usage into this call when it ends."""
        kind = AsyncWatched if is_async_stream(stream) else Watched
        return kind(stream if is_async_stream(stream) else iter(stream), self, is_whole_call=False)

    def set(self, **about: Unpack[About]) -> None:
        """Say for whom or what this call is, when that is known only inside of it."""
        self._about = {**self._about, **given(about, known=KNOWN_ABOUT)}

    def add(self, reading: Reading) -> None:
        """Count a usage that was read elsewhere."""
        self._readings.append(reading)

    def finish(self) -> None:
        """Record a call that went well, also when no usage was found in it."""
        if not self._readings and not self._is_finished:
            log.warning("No usage was found in what a metered call returned; it is recorded without tokens.")
            self._readings.append(Reading(None, Usage()))
        self._record()

    def fail(self, error: BaseException) -> None:
        """Record a call that failed if it used something all the same: seen before, or told in the error's body."""
        self.observe(field(error, "body"))
        self._record()

    def _record(self) -> None:
        """Hand over an event for each model, once."""
        if self._is_finished:
            return
        self._is_finished = True
        try:
            elapsed_ms = (time.perf_counter_ns() - self._started_ns) // 1_000_000
            for fields in self._events():
                fields["latency_ms"] = elapsed_ms
                if "instance_type" in fields:
                    fields["duration_ms"] = elapsed_ms
                self._sink.put(fields)
        except Exception:
            # The host app's edge, as above.
            log.exception("Recording a metered call failed.")

    def _events(self) -> list[dict[str, Any]]:
        if len(self._readings) == 1:
            model, usage = self._readings[0]
            return [self._event(model, usage, requests=1)]
        models = dict.fromkeys(reading.model for reading in self._readings)
        if "model" in self._about:
            return [self._sum(None, self._readings)]
        return [self._sum(name, [r for r in self._readings if r.model == name]) for name in models]

    def _sum(self, model: str | None, readings: list[Reading]) -> dict[str, Any]:
        return self._event(model, sum((r.usage for r in readings), Usage()), requests=len(readings))

    def _event(self, model: str | None, usage: Usage, *, requests: int) -> dict[str, Any]:
        fields = {**self._about, **usage.fields()}
        name = self._about.get("model") or self._sink.model_name(model)
        if name is not None:
            fields["model"] = name
        if requests != 1:
            fields["requests"] = requests
        return fields
