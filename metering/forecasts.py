"""What a month will have come to at its end, by what the same weekdays of the last four weeks came to. An estimate.

Each day to come is expected to be like the median of its weekday over the last 28 full days, which one odd week does not
move, at least like the least of them and at most like the greatest; of today at least what there is. Days before the first
usage do not count.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

from marketplace.core.money import exact

METHOD = "each day like the median of the same weekdays of the last 28 days"
DAYS_OF_HISTORY = 28
FEWEST_DAYS = 7
ZERO = Decimal(0)


@dataclass(frozen=True)
class Expected:
    """What a day, or a month, is expected to come to."""

    low: Decimal
    middle: Decimal
    high: Decimal


@dataclass(frozen=True)
class Forecast:
    """What the month of ``today`` will have come to. ``days`` are today and all later ones of the month."""

    today: date
    spent: Decimal
    days: Sequence[Expected]

    @property
    def month(self) -> Expected:
        """The whole month: what the days before today came to, and what is expected of the others."""
        with exact():
            return Expected(
                self.spent + sum((day.low for day in self.days), ZERO),
                self.spent + sum((day.middle for day in self.days), ZERO),
                self.spent + sum((day.high for day in self.days), ZERO),
            )


def to_month_end(daily: Mapping[date, Decimal], *, today: date) -> Forecast | None:
    """Forecast the month of ``today`` from what each day came to; None with less than a week of full days.

    ``daily`` reaches back 28 days and to the first of the month; a day that is missing came to nothing.
    """
    history = _history(daily, today=today)
    if len(history) < FEWEST_DAYS:
        return None
    by_weekday: dict[int, list[Decimal]] = defaultdict(list)
    for day, value in history.items():
        by_weekday[day.weekday()].append(value)
    so_far = daily.get(today, ZERO)
    expected = [_expected(by_weekday[day.weekday()]) for day in _rest_of_month(today)]
    first, *later = expected
    today_expected = Expected(max(first.low, so_far), max(first.middle, so_far), max(first.high, so_far))
    with exact():
        spent = sum((daily.get(today.replace(day=number), ZERO) for number in range(1, today.day)), ZERO)
    return Forecast(today, spent, (today_expected, *later))


def _history(daily: Mapping[date, Decimal], *, today: date) -> dict[date, Decimal]:
    used = [day for day, value in daily.items() if value and day < today]
    first = max(min(used, default=today), today - timedelta(days=DAYS_OF_HISTORY))
    return {
        day: daily.get(day, ZERO)
        for day in (first + timedelta(days=number) for number in range((today - first).days))
    }


def _expected(values: Sequence[Decimal]) -> Expected:
    with exact():
        return Expected(min(values), median(values), max(values))


def _rest_of_month(today: date) -> list[date]:
    last = (today.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return [today + timedelta(days=number) for number in range((last - today).days + 1)]
