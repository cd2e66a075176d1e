"""The meter that is set up by the environment alone, made when it is first used."""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar, Unpack, overload

from .calls import KNOWN_ABOUT, Find
from .fields import About, Fields, given
from .meter import Meter
from .metered import Metered
from .settings import ConfigurationError

log = logging.getLogger("halfpenny")

F = TypeVar("F", bound=Callable[..., Any])
_making = threading.Lock()
_meter: Meter | None = None


def default_meter() -> Meter:
    """Return the meter of the environment. When that is incomplete, say so once and record nothing."""
    global _meter
    if _meter is None:
        with _making:
            if _meter is None:
                try:
                    _meter = Meter()
                except ConfigurationError as error:
                    log.error("Usage is not metered. %s", error)
                    _meter = Meter(disabled=True, durable=False)
    return _meter


@overload
def meter(function: F, /) -> F: ...
@overload
def meter(*, find: Find | None = None, **about: Unpack[About]) -> Metered: ...


def meter(function: Any = None, /, *, find: Find | None = None, **about: Any) -> Any:
    """Meter calls with the meter of the environment; see ``Meter.meter``."""
    metered = Metered(default_meter, given(about, known=KNOWN_ABOUT), find=find)
    return metered if function is None else metered(function)


def record(response: Any = None, *, event_id: str | None = None, **fields: Unpack[Fields]) -> str:
    """Record one usage event with the meter of the environment; see ``Meter.record``."""
    return default_meter().record(response, event_id=event_id, **fields)


def flush(timeout_s: float = 10.0) -> bool:
    """Wait until everything recorded with the meter of the environment is at the server."""
    return default_meter().flush(timeout_s)
