"""When a request is sent again: only where nothing can be charged twice."""

import random
from dataclasses import dataclass

from .errors import ApiError, Conflict, HalfpennyError, RateLimited, Unavailable, Unreachable

# The gateway has tried every offer that could not have charged; what is left may have cost somebody.
NOT_AGAIN = frozenset({500, 502, 504})
STILL_RUNNING = "idempotent_call_running"


@dataclass(frozen=True)
class Retry:
    """How often and how long to try. ``attempts`` counts the first one; 1 never tries again.

    Pauses double from ``first_pause_s`` to ``longest_pause_s``, each by chance between its half and its whole, so that
    callers who failed together do not come back together. A pause that the marketplace asks for is kept, if it is not
    longer than ``patience_s``; else the error is raised at once.

    >>> Retry(attempts=4).pause_s(Unreachable("reset", was_sent=True), attempt=1, is_safe=False) is None
    True
    """

    attempts: int = 4
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0
    patience_s: float = 20.0

    def pause_s(self, error: HalfpennyError, *, attempt: int, is_safe: bool) -> float | None:
        """Return how long to wait before the next attempt, or None when there is none.

        ``is_safe``: the request may arrive twice without harm, as it has an idempotency key or only reads.
        """
        if attempt >= self.attempts or not _may_pass_later(error, is_safe=is_safe, is_first=attempt == 1):
            return None
        asked = error.retry_after_s if isinstance(error, ApiError) else None
        if asked is not None and asked > self.patience_s:
            return None
        longest = min(self.longest_pause_s, self.first_pause_s * 2 ** (attempt - 1))
        return max(asked or 0.0, random.uniform(longest / 2, longest))


def _may_pass_later(error: HalfpennyError, *, is_safe: bool, is_first: bool) -> bool:
    if isinstance(error, Unreachable):
        return is_safe or not error.was_sent
    if isinstance(error, Conflict):
        # The attempt that we lost sight of is still under way there, and its answer will be ours.
        return error.code == STILL_RUNNING and not is_first
    if isinstance(error, Unavailable):
        return error.status not in NOT_AGAIN
    return isinstance(error, RateLimited)
