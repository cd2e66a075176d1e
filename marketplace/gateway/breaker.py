"""When to leave a source of answers alone: closed, open, half-open. Pure; times are seconds of any steady clock.

A source is one model at one provider. Closed, calls go there. After ``FAILURES_IN_A_ROW``, or when half of at least
``ENOUGH_CALLS`` calls of the last minute failed, it opens and gets none for a while. Then it is half-open: one call at
a time tries it; two that succeed close it, one that fails opens it again for twice as long.

An app whose requests no provider survives must not take it from others: where all failures are of one app and may be
due to what it sent, it opens only when nobody else called within the minute, and after ``ENOUGH_CALLS`` in a row.
"""

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES_IN_A_ROW = 5
ENOUGH_CALLS = 20
FAILED_SHARE = 2  # one in so many
WINDOW_S = 60.0
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0
SUCCESSES_TO_CLOSE = 2
LONGEST_TRIAL_S = 120.0
"""A trial that has not ended after this will not: whoever made it died. Another one may be made."""


@dataclass(slots=True)
class Breaker:
    """One source as one process knows it."""

    state: State = "closed"
    opened_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    spared_until: float = 0.0
    """A source that asked to be left alone is the last choice until then."""
    _outcomes: deque[tuple[float, bool, int | None]] = field(default_factory=deque)
    _called_by: Counter[int | None] = field(default_factory=Counter)
    _failed_by: Counter[int | None] = field(default_factory=Counter)
    _failed: int = 0
    _in_a_row: int = 0
    _row_of: set[int | None] = field(default_factory=set)
    _successes: int = 0
    _trial_since: float | None = None

    def is_ready(self, now: float) -> bool:
        """Say whether a call may be planned with it."""
        if self.state == "closed":
            return True
        if self.state == "open":
            return now >= self.opened_at + self.pause_s
        return self._trial_since is None or now >= self._trial_since + LONGEST_TRIAL_S

    def begin(self, now: float) -> bool:
        """Take leave to call it; a source that is tried again gets one call at a time."""
        if self.state == "closed":
            return True
        if not self.is_ready(now):
            return False
        if self.state == "open":
            self.state = "half_open"
            self._successes = 0
        self._trial_since = now
        return True

    def succeed(self, now: float, *, by: int | None = None) -> None:
        """Note that it answered a call of an app."""
        self._note(now, is_failure=False, by=by)
        self._in_a_row = 0
        self._row_of.clear()
        if self.state == "half_open":
            self._trial_since = None
            self._successes += 1
            if self._successes >= SUCCESSES_TO_CLOSE:
                self.reset()

    def fail(self, now: float, *, by: int | None = None) -> None:
        """Note that it did not answer as it should; ``by`` is the app whose request may be why, None when none is."""
        self._note(now, is_failure=True, by=by)
        self._in_a_row += 1
        self._row_of.add(by)
        if self.state == "half_open":
            self._open(now, pause_s=min(self.pause_s * 2, LONGEST_PAUSE_S))
        elif self.state == "closed" and self._is_too_bad():
            self._open(now, pause_s=FIRST_PAUSE_S)

    def give_up(self) -> None:
        """Note that a call ended without saying anything about it, such as one whose caller left."""
        self._trial_since = None

    def spare(self, now: float, *, for_s: float) -> None:
        """Note that it asked to be left alone for so long."""
        self.spared_until = max(self.spared_until, now + min(for_s, LONGEST_PAUSE_S))
        self._trial_since = None

    def reset(self) -> None:
        """Close it and forget what was."""
        self.state = "closed"
        self.pause_s = FIRST_PAUSE_S
        self.spared_until = 0.0
        for known in (self._outcomes, self._called_by, self._failed_by, self._row_of):
            known.clear()
        self._failed = self._in_a_row = self._successes = 0
        self._trial_since = None

    def wait_s(self, now: float) -> float:
        """Say how long until it may be tried."""
        if self.state == "open":
            return max(0.0, self.opened_at + self.pause_s - now)
        return 0.0 if self.is_ready(now) else 1.0

    def counts(self, now: float) -> tuple[int, int]:
        """Return how many calls of the last minute there were, and how many of them failed."""
        self._forget(now)
        return len(self._outcomes), self._failed

    def _is_too_bad(self) -> bool:
        if self._in_a_row >= FAILURES_IN_A_ROW and _is_of_several(self._row_of):
            return True
        if self._in_a_row >= ENOUGH_CALLS and len(self._called_by) == 1:
            return True
        calls = len(self._outcomes)
        is_half = calls >= ENOUGH_CALLS and self._failed * FAILED_SHARE >= calls
        return is_half and _is_of_several(self._failed_by)

    def _open(self, now: float, *, pause_s: float) -> None:
        self.state = "open"
        self.opened_at = now
        self.pause_s = pause_s
        self._trial_since = None

    def _note(self, now: float, *, is_failure: bool, by: int | None) -> None:
        self._outcomes.append((now, is_failure, by))
        self._called_by[by] += 1
        if is_failure:
            self._failed += 1
            self._failed_by[by] += 1
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._outcomes and self._outcomes[0][0] <= now - WINDOW_S:
            _, is_failure, by = self._outcomes.popleft()
            _take_off(self._called_by, by)
            if is_failure:
                self._failed -= 1
                _take_off(self._failed_by, by)


def _is_of_several(apps: Collection[int | None]) -> bool:
    """Say whether failures cannot be due to one app: they are of several, or have nothing to do with any."""
    return None in apps or len(apps) > 1


def _take_off(counter: Counter[int | None], by: int | None) -> None:
    counter[by] -= 1
    if not counter[by]:
        del counter[by]
