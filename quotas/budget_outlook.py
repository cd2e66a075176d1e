"""What a budget will have come to at the end of its month, and on which day it runs out. Pure; an estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from marketplace.core.money import exact
from metering import forecasts
from metering.forecasts import Expected

ZERO = Decimal(0)


@dataclass(frozen=True)
class Outlook:
    """What is expected. ``days`` are today, as far as it is still to come, and all later ones of the month.

    ``runs_out`` is the first day on which what is expected reaches the limit, ``runs_out_early`` that of the upper end of
    the band; None where it is not this month.
    """

    month: Expected
    days: Sequence[tuple[date, Expected]]
    runs_out: date | None
    runs_out_early: date | None
    method: str


def outlook(daily: Mapping[date, Decimal], *, used: Decimal, limit: Decimal, today: date) -> Outlook | None:
    """Expect the rest of the month on top of what is used of a limit; None with less than a week of history.

    ``daily`` is what each day came to, 70 days back.
    """
    forecast = forecasts.with_band_of_errors(daily, today=today)
    if forecast is None:
        return None
    so_far = daily.get(today, ZERO)
    with exact():
        first, *later = forecast.days
        rest = Expected(first.low - so_far, first.middle - so_far, first.high - so_far)
        days = [(today + timedelta(days=place), one) for place, one in enumerate([rest, *later])]
        month = Expected(
            used + sum((one.low for _, one in days), ZERO),
            used + sum((one.middle for _, one in days), ZERO),
            used + sum((one.high for _, one in days), ZERO),
        )
        return Outlook(
            month,
            days,
            _reaches([(day, one.middle) for day, one in days], used=used, limit=limit),
            _reaches([(day, one.high) for day, one in days], used=used, limit=limit),
            forecast.method,
        )


def _reaches(days: Sequence[tuple[date, Decimal]], *, used: Decimal, limit: Decimal) -> date | None:
    """Return the day on which a limit is used up; today when it already is."""
    total = used
    for day, value in days:
        total += value
        if total >= limit and (value or used >= limit):
            return day
    return None
