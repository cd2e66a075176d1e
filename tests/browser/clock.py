"""The time that the product reads, which goes on by itself and can be moved."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.utils import timezone

_real_now = timezone.now


class Clock:
    """Real time, shifted."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        return _real_now() + self._shift

    def move_to(self, *parts: int) -> None:
        """Make it this time in UTC: year, month, day and, if it matters, hour and minute."""
        self._shift = datetime(*parts, tzinfo=UTC) - _real_now()  # type: ignore[arg-type,misc]


@contextmanager
def moving_clock() -> Iterator[Clock]:
    """Let the product, in all threads of this process, read its time from a clock that can be moved."""
    clock = Clock()
    with mock.patch("django.utils.timezone.now", side_effect=clock.now):
        yield clock
