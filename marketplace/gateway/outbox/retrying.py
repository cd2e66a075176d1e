"""When a failed delivery is tried again: later each time, not all at once, and not before the receiver wants it."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MOST_ATTEMPTS = 10
FIRST_S = 20
FACTOR = 3
LONGEST_S = 6 * 3600
SPREAD_PERCENT = 20
LONGEST_ASKED_S = 24 * 3600


def delay_after(attempts: int, *, spread: int, asked_s: int | None = None) -> timedelta | None:
    """Say how long to wait after so many attempts; None when it is given up.

    20 s, 1 min, 3, 9, 27, 81 min, then up to six hours: about a day and a half in all. ``spread`` is the jitter, from -20 to 20
    percent. ``asked_s`` is what the receiver asked for (``Retry-After``), at most a day.

    >>> delay_after(3, spread=10).total_seconds()
    198.0
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    seconds = min(FIRST_S * FACTOR ** (attempts - 1), LONGEST_S)
    seconds += seconds * spread // 100
    return timedelta(seconds=max(seconds, min(asked_s or 0, LONGEST_ASKED_S)))


def read_retry_after(value: str | None, *, at: datetime) -> int | None:
    """Read ``Retry-After``, seconds or a date (RFC 9110, 10.2.3); None when it says nothing that can be used."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), LONGEST_ASKED_S)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0, min(int((when - at).total_seconds()), LONGEST_ASKED_S))
