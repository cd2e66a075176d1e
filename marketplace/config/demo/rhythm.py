"""How many calls there are in which hour: working days and weekends, lunch and night, growth and noise. Pure.

The figures are numbers of calls, not money, so floats do.
"""

from calendar import monthrange
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

SATURDAY = 5
MONTH_END_FACTOR = 2.0

# For each rhythm: the weight of every hour of the day in UTC, and what a weekend day brings of a working day.
_HOURS = {
    "office": ((0, 0, 0, 0, 0, 0, 1, 4, 8, 10, 10, 9, 6, 8, 10, 9, 8, 5, 2, 1, 1, 0, 0, 0), 0.10),
    "meals": ((0, 0, 0, 0, 0, 0, 1, 2, 2, 4, 9, 14, 11, 4, 2, 3, 6, 11, 12, 7, 3, 2, 1, 0), 0.55),
    "always": ((3, 2, 2, 2, 2, 3, 4, 6, 8, 9, 9, 8, 7, 8, 9, 9, 8, 7, 6, 6, 5, 5, 4, 3), 0.60),
    "night": ((6, 22, 24, 18, 4, 0, 0, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 2), 0.85),
    "loop": ((1,) * 24, 1.0),
}
_HOURS["month_end"] = _HOURS["office"]


@dataclass
class Ceiling:
    """The hard limits under which some streams share a subscription: calls beyond them were refused."""

    daily: int
    monthly: int
    _day: date | None = None
    _month: tuple[int, int] = (0, 0)
    _left_of_day: int = 0
    _left_of_month: int = 0

    def admit(self, count: int, *, day: date) -> int:
        """Admit what is left of the day and the month."""
        if (day.year, day.month) != self._month:
            self._month, self._left_of_month = (day.year, day.month), self.monthly
        if day != self._day:
            self._day, self._left_of_day = day, self.daily
        admitted = min(count, self._left_of_day, self._left_of_month)
        self._left_of_day -= admitted
        self._left_of_month -= admitted
        return admitted


@dataclass
class Stream:
    """Calls of one kind. ``calls``: of a working day at the end; ``last_day`` is part of it."""

    key: Hashable
    calls: float
    rhythm: str
    growth: float
    first_day: date
    last_day: date
    ceiling: Ceiling
    carry: float = field(default=0.0)

    def on(self, day: date, *, progress: float, noise: float) -> float:
        """Return how many calls a day brings; ``progress`` runs from 0 on the first day to 1 on the last."""
        if not self.first_day <= day <= self.last_day:
            return 0.0
        weekend = _HOURS[self.rhythm][1] if day.weekday() >= SATURDAY else 1.0
        rush = MONTH_END_FACTOR if self.rhythm == "month_end" and is_month_end(day) else 1.0
        return self.calls * (self.growth + (1 - self.growth) * progress) * weekend * rush * noise


@dataclass(frozen=True)
class Cell:
    """Some calls of one stream in one hour; ``seconds`` of the hour have passed when the story ends in it."""

    hour: datetime
    stream: Stream
    count: int
    seconds: int


def is_month_end(day: date) -> bool:
    """Say whether accounting is busy: the last three days of a month and the first three of the next."""
    return day.day <= 3 or day.day > monthrange(day.year, day.month)[1] - 3


def spread(
    streams: Sequence[Stream], *, first_day: date, until: datetime, calls: int, seed: int
) -> Iterator[Cell]:
    """Spread about so many calls over the streams and the hours up to ``until``, in order of time.

    The same arguments give the same cells. Fewer calls come out where ceilings refused some.
    """
    rng = Random(f"{seed}:rhythm")
    days = [first_day + timedelta(days=n) for n in range((until.date() - first_day).days + 1)]
    expected = [_expected(streams, day, index / max(1, len(days) - 1), rng) for index, day in enumerate(days)]
    whole = sum(map(sum, expected[:-1])) or 1.0
    for stream in streams:
        stream.carry = rng.random()
    for day, of_day in zip(days, expected, strict=True):
        yield from _cells_of_day(streams, day, [count * calls / whole for count in of_day], until=until)


def _expected(streams: Sequence[Stream], day: date, progress: float, rng: Random) -> list[float]:
    mood = rng.uniform(0.93, 1.07)
    return [
        stream.on(day, progress=progress, noise=mood * min(1.6, rng.lognormvariate(0, 0.14)))
        for stream in streams
    ]


def _cells_of_day(
    streams: Sequence[Stream], day: date, expected: Sequence[float], *, until: datetime
) -> Iterator[Cell]:
    shares = {name: [weight / sum(weights) for weight in weights] for name, (weights, _) in _HOURS.items()}
    for number in range(24):
        hour = datetime(day.year, day.month, day.day, number, tzinfo=UTC)
        seconds = min(3600, int((until - hour).total_seconds()))
        if seconds <= 0:
            return
        for stream, of_day in zip(streams, expected, strict=True):
            if not of_day:
                continue
            wanted = stream.carry + of_day * shares[stream.rhythm][number] * seconds / 3600
            stream.carry = wanted % 1
            count = stream.ceiling.admit(int(wanted), day=day)
            if count:
                yield Cell(hour, stream, count, seconds)
