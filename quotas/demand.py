"""What somebody will use under a limit, judged by what they used: low, expected and high. Pure.

The last 28 full days are gone through again, as if they came once more under the granted limit, and made a month of 30
days. Low: as they were, or shrunk where use shrinks. Expected: grown as the second half of them grew over the first (at least by half,
at most twice), and a day on which the present limit was reached reaches the granted one. High: every day like the busiest of
those. No day and no month exceeds what the granted limit lets through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from marketplace.core.money import exact

METHOD = (
    "The last {days} full days again, grown {growth}×; days that reached the present limit reach the granted one. "
    "Low: without growth, at the cheapest week's price. High: every day like the busiest, at the dearest week's."
)
TOO_NEW = "Less than a week of use: at most what the limit lets through, at what such calls cost others."
DAYS_OF_HISTORY = 28
FEWEST_DAYS = 7
DAYS_OF_MONTH = 30
MINUTES_OF_DAY = 1440
MS_OF_DAY = 86_400_000
# From here on a limit is taken to have held use back.
REACHED = Decimal("0.95")
SLOWEST, FASTEST = Decimal("0.5"), Decimal(2)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Band:
    """A figure that is not certain."""

    low: Decimal
    expected: Decimal
    high: Decimal

    def times(self, other: "Band") -> "Band":
        with exact():
            return Band(self.low * other.low, self.expected * other.expected, self.high * other.high)

    def rough(self) -> "Band":
        return Band(rough(self.low), rough(self.expected), rough(self.high))


@dataclass(frozen=True)
class Bounds:
    """What a limit lets through: in a day, in a month of thirty; None where it sets no bound there."""

    day: Decimal | None
    month: Decimal | None


@dataclass(frozen=True)
class Demand:
    """What a month of thirty days is expected to use of the measure. ``now`` is the same without any grant or growth."""

    amount: Band
    now: Decimal
    growth: Decimal
    days: int

    @property
    def method(self) -> str:
        return METHOD.format(days=self.days, growth=f"{self.growth:f}")


def bounds(*, measure: str, window: str, value: Decimal, latency_ms: int | None = None) -> Bounds:
    """Say what a limit lets through: 100 calls a minute are 144,000 a day.

    Concurrency lets through as many calls as end one after the other in a day; without a latency it sets no bound.
    """
    with exact():
        if measure == "concurrency":
            day = (value * MS_OF_DAY / latency_ms).to_integral_value() if latency_ms else None
        elif window == "month":
            return Bounds(None, value)
        else:
            day = value * MINUTES_OF_DAY if window == "minute" else value
        return Bounds(day, None if day is None else day * DAYS_OF_MONTH)


def demand(
    days: Sequence[Decimal], *, window: str, present: Decimal | None, granted: Decimal, lets_through: Bounds
) -> Demand | None:
    """Judge the use of a month; None with less than a week of days.

    ``days`` are full days, the oldest first. ``present`` is the limit that held on them, of the same window; None where
    nothing tells when it was reached (minutes, concurrency, no limit).
    """
    if len(days) < FEWEST_DAYS:
        return None
    growth = growth_of(days)
    with exact():
        scale = Decimal(DAYS_OF_MONTH) / len(days)
        low = [_least(day * min(growth, Decimal(1)), lets_through.day) for day in days]
        raised = [_raised(day, growth, window, present, granted, lets_through.day) for day in days]
        now = sum(days, ZERO) * scale
        expected = sum(raised, ZERO) * scale
        if window == "month" and present is not None and now >= present * REACHED:
            expected = max(expected, granted)
        high = max(expected, max(raised) * DAYS_OF_MONTH)
        of_month = [_least(each, lets_through.month) for each in (sum(low, ZERO) * scale, expected, high)]
    return Demand(Band(*map(_rounded, of_month)), _rounded(now), growth, len(days))


def growth_of(days: Sequence[Decimal]) -> Decimal:
    """Compare the second half of the days with the first, to two decimals; 1 where there is nothing to compare."""
    half = len(days) // 2
    with exact():
        before, after = sum(days[:half], ZERO), sum(days[-half:], ZERO) if half else ZERO
        if not before:
            return Decimal("1.00")
        growth = min(FASTEST, max(SLOWEST, after / before))
    return growth.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def unit_price(days: Sequence[Decimal], costs: Sequence[Decimal]) -> Band | None:
    """Say what one unit cost: in the cheapest week, over all days, in the dearest week; None when nothing was used."""
    whole = _price(days, costs)
    if whole is None:
        return None
    ends = range(len(days), 0, -7)
    weeks = [_price(days[max(0, end - 7) : end], costs[max(0, end - 7) : end]) for end in ends]
    known = [week for week in weeks if week is not None]
    return Band(min(known), whole, max(known))


def rough(amount: Decimal) -> Decimal:
    """Round an estimated amount of money to what means something: two decimals, and six digits below 1."""
    places = 2 if abs(amount) >= 1 or not amount else 5 - amount.adjusted()
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def percentile(values: Sequence[Decimal], percent: int) -> Decimal:
    """Return the smallest value that so many percent do not exceed; zero of nothing."""
    if not values:
        return ZERO
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, rank - 1)]


def _raised(
    day: Decimal,
    growth: Decimal,
    window: str,
    present: Decimal | None,
    granted: Decimal,
    most: Decimal | None,
) -> Decimal:
    if window == "day" and present is not None and day >= present * REACHED:
        return granted
    return _least(day * growth, most)


def _least(value: Decimal, most: Decimal | None) -> Decimal:
    return value if most is None else min(value, most)


def _price(days: Sequence[Decimal], costs: Sequence[Decimal]) -> Decimal | None:
    used = sum(days, ZERO)
    # Divided in the ordinary context: a price per unit is an estimate, 28 digits are plenty.
    return sum(costs, ZERO) / used if used else None


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP)
