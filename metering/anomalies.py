"""Telling a runaway from an ordinary day, out of hourly sums alone. Pure.

Everything is measured over the 24 hours that end with the judged one: their sum has no night and no lunch in it. It is
compared with the median of the same 24 hours of the seven days before (the usual), with the highest 24 hours of those
seven days, and with the same 24 hours one to four weeks before (the seasonal baseline: what comes every Monday or at
every month's end is no surprise). Why so, and what it scores on real traffic: decision record 25.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from itertools import accumulate
from statistics import median_low

from marketplace.core.money import exact

ZERO = Decimal(0)
HOUR = timedelta(hours=1)
DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
SEASONS = 4
# What one judgement can make use of: the weeks of the seasonal baseline and the judged day.
MOST_HOURS = SEASONS * WEEK_HOURS + DAY_HOURS
# Enough to tell that nothing is unusual, which is nearly always so.
FIRST_HOURS = WEEK_HOURS + 2 * DAY_HOURS
STILL_HOURS = 3


class Level(IntEnum):
    """How strong an answer the evidence carries."""

    NOTICE = 1
    THROTTLE = 2
    PAUSE = 3


@dataclass(frozen=True)
class Thresholds:
    """From where on something is an anomaly. Amounts are of 24 hours, in the currency of the usage."""

    notice_ratio: Decimal = Decimal(3)
    notice_highest_ratio: Decimal = Decimal(2)
    throttle_ratio: Decimal = Decimal(3)
    money_floor: Decimal = Decimal(5)
    repeated_hours: int = 12
    new_app_days: int = 8
    new_app_notice: Decimal = Decimal(25)
    new_app_throttle: Decimal = Decimal(100)
    request_floor: int = 20_000
    drop_percent: int = 0
    drop_requests: int = 500
    error_percent: int = 30
    error_calls: int = 50


class Series:
    """Hourly sums without a gap, the oldest first; the last one is the judged hour."""

    def __init__(self, hours: Sequence[Decimal]) -> None:
        with exact():
            self._totals = tuple(accumulate(hours, initial=ZERO))
        self._first_use = next((index for index, amount in enumerate(hours) if amount), len(hours))
        self._end = len(hours)

    def __len__(self) -> int:
        return self._end

    def until(self, ago: int) -> "Series":
        """Return the series as it was so many hours before; it shares the sums, so that many are cheap."""
        earlier = copy(self)
        earlier._end = max(0, self._end - ago)
        return earlier

    def window(self, ago: int, hours: int = DAY_HOURS) -> Decimal | None:
        """Sum so many hours that ended ``ago`` hours before the end; None where the series does not reach."""
        last = self._end - ago
        if last < hours:
            return None
        with exact():
            return self._totals[last] - self._totals[last - hours]

    @property
    def age_hours(self) -> int:
        """How long ago the first use was; 0 without any. One that has rested as long as the series is new again."""
        return max(0, self._end - self._first_use)


@dataclass(frozen=True)
class Finding:
    """What 24 hours brought, what is usual for them, and the highest before. ``is_new``: judged by absolute caps."""

    level: Level
    actual: Decimal
    expected: Decimal
    highest: Decimal
    is_new: bool = False


def series_of(amounts: Iterable[tuple[datetime, Decimal]], *, ends_at: datetime, hours: int) -> Series:
    """Lay amounts out by the hour up to ``ends_at``, in whatever order they come; hours without any are zero."""
    laid = [ZERO] * hours
    starts_at = ends_at - hours * HOUR
    with exact():
        for hour, amount in amounts:
            index = (hour - starts_at) // HOUR
            if 0 <= index < hours:
                laid[index] += amount
    return Series(laid)


def judge(series: Series, *, thresholds: Thresholds, age_hours: int | None = None) -> Finding | None:
    """Judge the money spent: a notice, a reason to throttle, or nothing. Never a reason to pause by itself.

    A notice: at least three times the usual, twice the highest, the money floor above the usual, and still going on. A
    throttle: also three times the highest. Apps of less than eight days, by absolute caps; ``age_hours`` is known better
    than the series where it was cut off.
    """
    actual = series.window(0)
    if actual is None or not actual:
        return None
    if _is_new(series, thresholds, age_hours):
        return _by_caps(actual, usual(series), highest_before(series), thresholds)
    expected = usual(series)
    with exact():
        if actual - expected < thresholds.money_floor or actual < thresholds.notice_ratio * expected:
            return None
    highest = highest_before(series)
    with exact():
        if actual < thresholds.notice_highest_ratio * highest or not _is_going_on(series):
            return None
        level = Level.THROTTLE if actual >= thresholds.throttle_ratio * highest else Level.NOTICE
    return Finding(level, actual, expected, highest)


def judge_still(series: Series, before: Finding, *, thresholds: Thresholds) -> Finding | None:
    """Judge an app that was found already, by what was usual before it ran away: what lasts is no less unusual for that."""
    actual = series.window(0)
    if actual is None:
        return None
    if before.is_new:
        return _by_caps(actual, before.expected, before.highest, thresholds)
    with exact():
        pace = (series.window(0, STILL_HOURS) or ZERO) * DAY_HOURS
        is_much = (
            actual - before.expected >= thresholds.money_floor
            and actual >= thresholds.notice_ratio * before.expected
            and actual >= thresholds.notice_highest_ratio * before.highest
            and pace > before.highest * STILL_HOURS
        )
        level = Level.THROTTLE if actual >= thresholds.throttle_ratio * before.highest else Level.NOTICE
    return Finding(level, actual, before.expected, before.highest) if is_much and actual else None


def usual(series: Series) -> Decimal:
    """Return the median of the same 24 hours of the seven days before; the lower middle one of an even number."""
    days = _known(series.window(DAY_HOURS * day) for day in range(1, 8))
    return median_low(days) if days else ZERO


def usual_day(series: Series) -> int:
    """Return how many days ago the usual 24 hours were; 0 when nothing is known of the days before."""
    expected = usual(series)
    return next((day for day in range(1, 8) if series.window(DAY_HOURS * day) == expected), 0)


def highest_before(series: Series) -> Decimal:
    """Return the highest 24 hours of the seven days before, or of the same hours of the week in four weeks."""
    lately = _known(series.window(ago) for ago in range(DAY_HOURS, WEEK_HOURS + 1))
    seasonal = _known(series.window(WEEK_HOURS * week) for week in range(1, SEASONS + 1))
    return max([*lately, *seasonal], default=ZERO)


def _is_going_on(series: Series) -> bool:
    """Tell whether the last three hours are higher than the same hours of each of the seven days before.

    What was over hours ago fills the 24 hours still; nobody has to be stopped for it.
    """
    now = series.window(0, STILL_HOURS) or ZERO
    before = _known(series.window(DAY_HOURS * day, STILL_HOURS) for day in range(1, 8))
    return now > max(before, default=ZERO)


def goes_on(series: Series, finding: Finding, *, hours: int, thresholds: Thresholds) -> bool:
    """Tell whether the last hours alone are at the pace that throttles.

    The 24 hours stay high for a day after something was slowed; what came since tells whether that helped.
    """
    since = series.window(0, hours) if hours > 0 else None
    if since is None:
        return False
    with exact():
        stops_from = thresholds.throttle_ratio * finding.highest
        if finding.is_new:
            stops_from = max(stops_from, thresholds.new_app_throttle)
        return since * DAY_HOURS >= stops_from * hours


def _by_caps(actual: Decimal, expected: Decimal, highest: Decimal, thresholds: Thresholds) -> Finding | None:
    if not actual or actual < thresholds.new_app_notice:
        return None
    level = Level.THROTTLE if actual >= thresholds.new_app_throttle else Level.NOTICE
    return Finding(level, actual, expected, highest, is_new=True)


def _is_new(series: Series, thresholds: Thresholds, age_hours: int | None) -> bool:
    age_hours = series.age_hours if age_hours is None else age_hours
    return age_hours < thresholds.new_app_days * DAY_HOURS


def judge_requests(series: Series, *, thresholds: Thresholds, age_hours: int | None = None) -> Finding | None:
    """Judge how many requests there were: a flood that costs little, or an app that fell silent. A notice at most."""
    if _is_new(series, thresholds, age_hours):
        return None
    actual, expected = series.window(0) or ZERO, usual(series)
    with exact():
        if actual - expected >= thresholds.request_floor and actual >= thresholds.throttle_ratio * expected:
            highest = highest_before(series)
            is_flood = actual >= thresholds.throttle_ratio * highest and _is_going_on(series)
            return Finding(Level.NOTICE, actual, expected, highest) if is_flood else None
        lowest = min(_known(series.window(ago) for ago in range(DAY_HOURS, WEEK_HOURS + 1)), default=ZERO)
        is_silent = lowest >= thresholds.drop_requests and actual * 100 <= thresholds.drop_percent * lowest
    return Finding(Level.NOTICE, actual, expected, lowest) if is_silent else None


@dataclass(frozen=True)
class Calls:
    """Calls of some hours, and how many of them failed: they were admitted and brought no answer."""

    failed: int
    total: int


def judge_errors(now: Calls, before: Calls, *, thresholds: Thresholds) -> bool:
    """Tell whether calls fail unusually often: many of an hour's, and three times the share of the day before."""
    if now.total < thresholds.error_calls or now.failed * 100 < thresholds.error_percent * now.total:
        return False
    return now.failed * before.total >= 3 * before.failed * now.total


@dataclass(frozen=True)
class Burn:
    """Where a monthly budget goes at the pace of the last seven days, with and without what is above the usual."""

    budget: Decimal
    spent: Decimal
    projected: Decimal
    without: Decimal

    @property
    def is_evidence(self) -> bool:
        """The budget does not last, and would without the runaway."""
        return self.without <= self.budget < self.projected


def burn(
    *, budget: Decimal, spent: Decimal, last_week: Decimal, excess: Decimal, at: datetime, ends_at: datetime
) -> Burn:
    """Project what a month costs when it ends: spent so far, and the pace of the last seven days for what is left.

    ``excess`` is what the last 24 hours brought above the usual. One mild day does not move a week's pace enough to
    break a budget; ten times the usual does.
    """
    with exact():
        hours_left = Decimal(max(0, (ends_at - at) // HOUR))
        projected = spent + _part(last_week, hours_left)
        without = projected - excess - _part(excess, hours_left)
    return Burn(budget, spent, projected, without)


def _part(of_week: Decimal, hours: Decimal) -> Decimal:
    return (of_week * hours / WEEK_HOURS).quantize(Decimal(1).scaleb(-18))


@dataclass(frozen=True)
class Expected:
    """What an hour usually brings: the lowest, the middle and the highest of the hours it is compared with."""

    low: Decimal
    middle: Decimal
    high: Decimal


def expected_hours(series: Series, *, count: int) -> list[Expected]:
    """Return what each of the last ``count`` hours usually brings, for the band of a chart.

    Compared with the same hour of the week in four weeks; where fewer than three of them are known, of the day in seven
    days.
    """
    return [_expected(series, ago) for ago in range(count - 1, -1, -1)]


def _expected(series: Series, ago: int) -> Expected:
    known = _known(series.window(ago + WEEK_HOURS * week, 1) for week in range(1, SEASONS + 1))
    if len(known) < 3:
        known = _known(series.window(ago + DAY_HOURS * day, 1) for day in range(1, 8))
    return Expected(min(known), median_low(known), max(known)) if known else Expected(ZERO, ZERO, ZERO)


def reduced_rate(*, requests: int, finding: Finding, thresholds: Thresholds, hours: int = DAY_HOURS) -> int:
    """Return the requests a minute at which an app costs what its highest day did; at least one.

    From the requests of the 24 hours and their cost: calls that became dearer are slowed as much as calls that became
    more.
    """
    allowed = max(finding.highest, thresholds.new_app_notice if finding.is_new else ZERO)
    with exact():
        rate = allowed * requests / (max(finding.actual, Decimal(1).scaleb(-18)) * hours * 60)
    return max(1, int(rate))


def _known(sums: Iterable[Decimal | None]) -> list[Decimal]:
    return [one for one in sums if one is not None]


# What of the thresholds a policy may say, and in which bounds it makes sense.
BOUNDS: Mapping[str, tuple[int, int]] = {
    "notice_ratio": (2, 100),
    "notice_highest_ratio": (1, 100),
    "throttle_ratio": (2, 100),
    "money_floor": (0, 1_000_000),
    "repeated_hours": (2, 168),
    "new_app_days": (8, 28),
    "new_app_notice": (0, 1_000_000),
    "new_app_throttle": (0, 1_000_000),
    "request_floor": (100, 1_000_000_000),
    "drop_percent": (0, 50),
    "drop_requests": (10, 1_000_000_000),
    "error_percent": (5, 100),
    "error_calls": (5, 1_000_000),
}
