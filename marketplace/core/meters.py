"""Meter bars as geometry: used and held against a limit, in percent of the bar's width. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

Quantity = Decimal | int

# Lines drawn on the bar; 100 is its end. From 80 % a limit deserves a look, from 95 % it is about to refuse.
MARKS = (50, 80, 95)
FULL = 100
WARN_FROM = 80
DANGER_FROM = 95


@dataclass(frozen=True)
class Meter:
    """A limit drawn as a bar, widths as text ready for SVG, with the same facts in words."""

    used: str
    held: str
    limit: str
    is_limited: bool
    tone: str
    percent: str = "0"
    used_width: str = "0%"
    held_x: str = "0%"
    held_width: str = "0%"
    marks: tuple[tuple[str, bool], ...] = ()
    band_x: str = ""
    band_width: str = ""
    expected_x: str = ""


def meter(
    used: Quantity,
    held: Quantity,
    limit: Quantity | None,
    *,
    format_value: Callable[[Quantity], str] = str,
    marks: Sequence[int] = MARKS,
    expected: tuple[Quantity, Quantity, Quantity] | None = None,
) -> Meter:
    """Lay out a meter; over its limit the bar stays full, the percentage goes on: 2100 of 2000 is 105.

    The percentage is rounded down, so that 100 never stands beside a limit with room left. ``expected`` is what the window
    is expected to come to: low, middle and high; drawn as a band.
    """
    if limit is None:
        return Meter(format_value(used), format_value(held), limit="", is_limited=False, tone="accent")
    used_share, taken = _share(used, limit), _share(Decimal(used) + Decimal(held), limit)
    shown_used, shown_taken = min(used_share, Decimal(100)), min(taken, Decimal(100))
    return Meter(
        used=format_value(used),
        held=format_value(held),
        limit=format_value(limit),
        is_limited=True,
        tone="danger" if taken >= DANGER_FROM else "warn" if taken >= WARN_FROM else "accent",
        percent=f"{taken.to_integral_value(ROUND_FLOOR):f}",
        used_width=_width(shown_used),
        held_x=_width(shown_used),
        held_width=_width(shown_taken - shown_used),
        marks=tuple((f"{mark}%", taken >= mark) for mark in marks if mark < FULL),
        **_band(expected, limit),
    )


def _band(expected: tuple[Quantity, Quantity, Quantity] | None, limit: Quantity) -> dict[str, str]:
    """Lay out the band of what is expected; what is beyond the limit ends at the end of the bar."""
    if expected is None:
        return {}
    low, middle, high = (min(_share(value, limit), Decimal(FULL)) for value in expected)
    return {"band_x": _width(low), "band_width": _width(high - low), "expected_x": _width(middle)}


def _share(part: Quantity, whole: Quantity) -> Decimal:
    if whole == 0:
        return Decimal(100) if part else Decimal(0)
    return max(Decimal(part) * 100 / Decimal(whole), Decimal(0))


def _width(share: Decimal) -> str:
    return f"{share.quantize(Decimal('0.01')):f}%"
