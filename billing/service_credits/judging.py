"""What a missed promise gives back, as a calculation; it reads nothing.

Available: of the calls that were admitted and ended in hours that count, those that got an answer, in percent, cut at six
places. Hours that an announced maintenance touches do not count; calls that a limit refused, or that were wrong before
they were admitted, are no such calls.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.service_credits.terms import Step
from marketplace.core.money import exact, from_minor, round_minor

MOST_HOURS_NAMED = 48


@dataclass(frozen=True)
class Hour:
    """Calls that ended in an hour, and those without an answer."""

    starts_at: datetime
    calls: int
    failed: int


@dataclass(frozen=True)
class Window:
    starts_at: datetime
    ends_at: datetime

    def touches(self, hour: datetime) -> bool:
        return self.starts_at < hour + timedelta(hours=1) and hour < self.ends_at


@dataclass(frozen=True)
class Available:
    """How available an app was, with the hours that took from it; None when nothing counted."""

    percent: Decimal | None
    calls: int
    failed: int
    bad_hours: tuple[Hour, ...]
    left_out: int

    def as_json(self) -> dict[str, Any]:
        says = (
            f"{self.calls - self.failed:,} of {self.calls:,} calls were answered: {_short(self.percent)} %."
            if self.percent is not None
            else "No calls, so nothing was measured."
        )
        return {
            "says": says,
            "calls": self.calls,
            "failed": self.failed,
            "hours_left_out": self.left_out,
            "hours": [
                {"hour": one.starts_at.isoformat(), "calls": one.calls, "failed": one.failed}
                for one in self.bad_hours[:MOST_HOURS_NAMED]
            ],
            "hours_not_named": max(0, len(self.bad_hours) - MOST_HOURS_NAMED),
        }


def _short(percent: Decimal | None) -> str:
    return "–" if percent is None else f"{percent.normalize():f}"


def available(hours: Sequence[Hour], *, maintenance: Collection[Window]) -> Available:
    """Say how available an app was: 10,000 calls, 25 without an answer are 99.75 percent."""
    counted = [one for one in hours if not any(window.touches(one.starts_at) for window in maintenance)]
    calls, failed = sum(one.calls for one in counted), sum(one.failed for one in counted)
    percent = Decimal((calls - failed) * 100 * 10**6 // calls).scaleb(-6) if calls else None
    bad = sorted((one for one in counted if one.failed), key=lambda one: (-one.failed, one.starts_at))
    return Available(percent, calls, failed, tuple(bad), len(hours) - len(counted))


def credit_percent(steps: Sequence[Step], *, measured: Decimal, is_lower_worse: bool) -> Decimal:
    """Give the greatest percentage of the steps that a value is beyond: below it, or above where more is worse."""
    reached = [
        one.percent for one in steps if (measured < one.beyond if is_lower_worse else measured > one.beyond)
    ]
    return max(reached, default=Decimal(0))


@dataclass(frozen=True)
class Back:
    """What is given back, and the part of it that the creator bears, in minor units."""

    amount_minor: int
    creator_minor: int


def give_back(
    *,
    fees_minor: int,
    fees_creator_minor: int,
    percent: Decimal,
    borne_by: str,
    currency: str,
    creator_given_minor: int = 0,
) -> Back:
    """Say what a percentage of fees is, and who bears it; a creator never gives more than their part of the fees.

    10 percent of 49.99 are 5.00, rounded once. With a creator's part of 4.00, the creator bears 4.00 and the platform 1.00.
    """
    with exact():
        amount_minor = round_minor(from_minor(max(fees_minor, 0), currency) * percent / 100, currency)
    most = max(0, fees_creator_minor - creator_given_minor)
    if borne_by == "platform" or not amount_minor:
        return Back(amount_minor, 0)
    if borne_by == "creator":
        return Back(amount_minor, min(amount_minor, most))
    share = Fraction(amount_minor * fees_creator_minor, fees_minor)
    return Back(amount_minor, min(most, amount_minor, int(share + Fraction(1, 2))))
