"""The heat map of capacity: how full each model is in each hour of the day, now and if all that waits were approved."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from quotas.capacity import ModelStanding
from quotas.serving import Rate

# Upper bounds of what a shade means, in percent of what is committed.
SHADES = (0, 25, 50, 75, 90, 100)


@dataclass(frozen=True)
class Cell:
    """An hour of a model: so many percent taken, None where nothing is committed; the darkest shade is over the top."""

    percent: int | None

    @property
    def shade(self) -> int | None:
        if self.percent is None:
            return None
        return next((number for number, most in enumerate(SHADES) if self.percent <= most), len(SHADES))


@dataclass(frozen=True)
class HeatRow:
    """A model over the day."""

    name: str
    title: str
    cells: tuple[Cell, ...]


def heat_map(standings: Sequence[ModelStanding], *, with_pending: bool) -> list[HeatRow]:
    """Lay out the standings, hour by hour in UTC; what waits is added evenly. Pure."""
    return [
        HeatRow(
            one.name,
            one.title,
            tuple(
                Cell(taken_percent(one, used + one.pending if with_pending else used))
                for used in one.used.by_hour
            ),
        )
        for one in standings
    ]


def taken_percent(one: ModelStanding, used: Rate) -> int | None:
    """Return the percentage of what is committed, of the fuller unit, rounded up: 100 never stands where there is room."""
    shares = [
        (wanted * 100 / committed).to_integral_value(ROUND_CEILING) if committed else Decimal(100)
        for committed, wanted in (
            (one.committed.requests, used.requests),
            (one.committed.tokens, used.tokens),
        )
        if committed is not None
    ]
    return int(max(shares)) if shares else None
