"""What a month will have come to at its end, by what the same weekdays of the last four weeks came to. An estimate.

Each day to come is expected to be like the median of its weekday over the last 28 full days, which one odd week does not
move, at least like the least of them and at most like the greatest; of today at least what there is. Days before the first
usage do not count.

With more history, ``with_band_of_errors`` makes the band of what forecasts were worth: the same forecast is made for as many
days ahead from each day of the past, and the band is what all but the worst tenth on either side would have allowed for.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

from marketplace.core.money import exact

METHOD = "each day like the median of the same weekdays of the last 28 days"
BAND_OF_DAYS = "the band from the least to the greatest of them"
BAND_OF_ERRORS = "the band as wide as eight of ten past forecasts for as many days were off"
DAYS_OF_HISTORY = 28
DAYS_OF_ERRORS = 70
FEWEST_DAYS = 7
FEWEST_ERRORS = 7
ZERO, ONE = Decimal(0), Decimal(1)
PLACES = Decimal("0.000001")


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
    band: str = BAND_OF_DAYS

    @property
    def method(self) -> str:
        """Name how it was made, for people."""
        return f"{METHOD}, {self.band}"

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
    by_weekday = _by_weekday(history)
    so_far = daily.get(today, ZERO)
    expected = [_expected(by_weekday[day.weekday()]) for day in _rest_of_month(today)]
    first, *later = expected
    today_expected = Expected(max(first.low, so_far), max(first.middle, so_far), max(first.high, so_far))
    with exact():
        spent = sum((daily.get(today.replace(day=number), ZERO) for number in range(1, today.day)), ZERO)
    return Forecast(today, spent, (today_expected, *later))


def with_band_of_errors(daily: Mapping[date, Decimal], *, today: date) -> Forecast | None:
    """Forecast like ``to_month_end``, with the band that past forecasts for as many days would have needed.

    ``daily`` reaches back 70 days; with too little to judge by, the band stays that of the days.
    """
    forecast = to_month_end(daily, today=today)
    if forecast is None:
        return None
    ratios = sorted(_past_ratios(daily, today=today, length=len(forecast.days)))
    if len(ratios) < FEWEST_ERRORS:
        return forecast
    left_out = len(ratios) // 10
    low, high = min(ratios[left_out], ONE), max(ratios[-1 - left_out], ONE)
    so_far = daily.get(today, ZERO)
    first, *later = (Expected(day.middle * low, day.middle, day.middle * high) for day in forecast.days)
    today_expected = Expected(max(first.low, so_far), max(first.middle, so_far), max(first.high, so_far))
    return Forecast(today, forecast.spent, (today_expected, *later), BAND_OF_ERRORS)


def _past_ratios(daily: Mapping[date, Decimal], *, today: date, length: int) -> Iterator[Decimal]:
    """Give what each past stretch of so many days came to, as a part of what would have been expected of it."""
    used = [day for day, value in daily.items() if value and day < today]
    earliest = max(min(used, default=today), today - timedelta(days=DAYS_OF_ERRORS)) + timedelta(
        days=2 * FEWEST_DAYS
    )
    for number in range((today - earliest).days - length + 1):
        start = earliest + timedelta(days=number)
        by_weekday = _by_weekday(_history(daily, today=start))
        days = [start + timedelta(days=place) for place in range(length)]
        with exact():
            expected = sum((median(by_weekday[day.weekday()]) for day in days), ZERO)
            if expected:
                yield (sum((daily.get(day, ZERO) for day in days), ZERO) / expected).quantize(PLACES)


def _by_weekday(history: Mapping[date, Decimal]) -> dict[int, list[Decimal]]:
    by_weekday: dict[int, list[Decimal]] = defaultdict(list)
    for day, value in history.items():
        by_weekday[day.weekday()].append(value)
    return by_weekday


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
