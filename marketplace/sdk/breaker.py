"""A circuit breaker: what fails again and again is left alone for a while, then tried with one call."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

from .errors import ApiError, HalfpennyError

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class CircuitOpen(HalfpennyError):
    """The call was not made: those before it failed. ``retry_after_s`` says when one is tried again."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"{name or 'This'} failed too often; it is tried again in {retry_after_s:.1f} s.")
        self.name, self.retry_after_s = name, retry_after_s


def is_fault(error: BaseException) -> bool:
    """Tell whether an error says that the other side is at fault, and not the request, the limit or the caller.

    >>> is_fault(ApiError(400, {})), is_fault(ApiError(503, {})), is_fault(TimeoutError()), is_fault(KeyboardInterrupt())
    (False, True, True, False)
    """
    if isinstance(error, ApiError):
        return error.status >= 500
    return isinstance(error, Exception)


class Breaker:
    """Closed: calls pass. After ``failures`` in a row it opens: none passes for ``open_s``. Then it is half open: one
    call at a time passes; ``successes`` of them in a row close it, a failure opens it for twice as long, up to
    ``longest_open_s``.

    One for each thing that fails by itself, such as a provider. For threads and asyncio alike; used with ``with``:

    >>> breaker = Breaker("maps", failures=1, clock=lambda: 0.0)
    >>> try:
    ...     with breaker:
    ...         raise ConnectionError("reset")
    ... except ConnectionError:
    ...     breaker.state
    'open'
    """

    def __init__(
        self,
        name: str = "",
        *,
        failures: int = 5,
        open_s: float = 10.0,
        longest_open_s: float = 120.0,
        successes: int = 1,
        counts: Callable[[BaseException], bool] = is_fault,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or successes < 1:
            raise ValueError("failures and successes are at least 1")
        self.name = name
        self._failures, self._successes = failures, successes
        self._open_s, self._longest_open_s = open_s, longest_open_s
        self._counts, self._clock = counts, clock
        self._lock = threading.Lock()
        self._failed = self._succeeded = self._times_opened = 0
        self._opened_at: float | None = None
        self._is_trying = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half_open``."""
        with self._lock:
            return self._state()

    def enter(self) -> None:
        """Ask to make a call; raises CircuitOpen. Who may must say afterwards how it went."""
        with self._lock:
            state = self._state()
            if state == OPEN or (state == HALF_OPEN and self._is_trying):
                raise CircuitOpen(self.name, max(self._left_s(), 0.0))
            self._is_trying = state == HALF_OPEN

    def succeeded(self) -> None:
        """Say that a call went well."""
        with self._lock:
            self._failed, self._is_trying = 0, False
            if self._opened_at is None or self._state() == OPEN:
                # A call that began before it opened says nothing about now.
                return
            self._succeeded += 1
            if self._succeeded >= self._successes:
                self._opened_at, self._times_opened, self._succeeded = None, 0, 0

    def failed(self) -> None:
        """Say that a call failed, and that the other side is at fault."""
        with self._lock:
            was_trying, self._is_trying, self._succeeded = self._is_trying, False, 0
            state = self._state()
            self._failed += 1
            if (state == HALF_OPEN and was_trying) or (state == CLOSED and self._failed >= self._failures):
                self._opened_at, self._failed = self._clock(), 0
                self._times_opened += 1

    def __enter__(self) -> "Breaker":
        self.enter()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.succeeded()
        elif self._counts(error):
            self.failed()
        else:
            self._left_undecided()

    def _left_undecided(self) -> None:
        """A call that was refused or canceled says nothing; somebody else may try."""
        with self._lock:
            self._is_trying = False

    def _state(self) -> str:
        if self._opened_at is None:
            return CLOSED
        return OPEN if self._left_s() > 0 else HALF_OPEN

    def _left_s(self) -> float:
        if self._opened_at is None:
            return 0.0
        lasts_s = min(self._longest_open_s, self._open_s * 2 ** min(self._times_opened - 1, 20))
        return self._opened_at + lasts_s - self._clock()
