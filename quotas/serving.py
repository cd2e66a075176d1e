"""How much serving a limit may ask for, a minute and by model, and what stays free of what is committed. Pure.

A limit of a day or a month is taken to be used evenly: what it allows at its worst minute no provider could promise. What
the calls of an app are like, and which models they go to, is told by what was used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from marketplace.core.money import to_text

MINUTES = {"minute": 1, "day": 1440, "month": 43_200}
MS_OF_MINUTE = 60_000
UNITS = ("requests", "tokens")
ZERO = Decimal(0)
HUNDRED = Decimal(100)
HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class Rate:
    """Requests and tokens a minute."""

    requests: Decimal = ZERO
    tokens: Decimal = ZERO

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.requests + other.requests, self.tokens + other.tokens)

    def __sub__(self, other: "Rate") -> "Rate":
        return Rate(self.requests - other.requests, self.tokens - other.tokens)


@dataclass(frozen=True)
class Profile:
    """What calls are like: how many went to which model, with how many tokens, and what a call cost and took on average."""

    requests: Mapping[str, Decimal]
    tokens: Mapping[str, Decimal]
    cost_per_request: Decimal | None = None
    latency_ms: int | None = None

    @property
    def total(self) -> Decimal:
        return sum(self.requests.values(), ZERO)

    def requests_a_minute(self, *, measure: str, window: str, value: Decimal) -> Decimal | None:
        """Turn a limit into requests a minute; None where nothing tells how."""
        if measure == "concurrency":
            return value * MS_OF_MINUTE / self.latency_ms if self.latency_ms else None
        per_minute = value / MINUTES[window]
        if measure == "requests":
            return per_minute
        each = self._tokens_per_request if measure == "tokens" else self.cost_per_request
        return per_minute / each if each else None

    def by_model(self, *, measure: str, window: str, value: Decimal) -> dict[str, Rate] | None:
        """Turn a limit into what each model would serve; None where nothing tells how."""
        wanted = self.requests_a_minute(measure=measure, window=window, value=value)
        if wanted is None or not self.total:
            return None
        return {
            model: Rate(wanted * count / self.total, wanted * self.tokens.get(model, ZERO) / self.total)
            for model, count in self.requests.items()
            if count
        }

    @property
    def _tokens_per_request(self) -> Decimal:
        return sum(self.tokens.values(), ZERO) / self.total if self.total else ZERO


@dataclass(frozen=True)
class Committed:
    """What providers have committed of a model, a minute; None where none of them said."""

    requests: Decimal | None = None
    tokens: Decimal | None = None


@dataclass(frozen=True)
class ModelRoom:
    """A model and unit: what is committed a minute, used in the busiest hour, asked for by this and by all others."""

    model: str
    unit: str
    committed: Decimal
    peak: Decimal
    extra: Decimal
    pending: Decimal

    @property
    def after_this(self) -> Decimal:
        return self.committed - self.peak - self.extra

    @property
    def after_all_pending(self) -> Decimal:
        return self.after_this - self.pending

    @property
    def percent_after_this(self) -> Decimal:
        return percent_of(self.after_this, self.committed)

    @property
    def percent_after_all_pending(self) -> Decimal:
        return percent_of(self.after_all_pending, self.committed)


@dataclass(frozen=True)
class HeadRoom:
    """What stays free in percent of what is committed, of the model with the least; None is not known, and ``why`` says why."""

    after_this: Decimal | None
    after_all_pending: Decimal | None
    rows: tuple[ModelRoom, ...] = ()
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Write down what a decision keeps."""
        return {
            "after_this": None if self.after_this is None else to_text(self.after_this),
            "after_all_pending": None if self.after_all_pending is None else to_text(self.after_all_pending),
            "rows": [
                {
                    name: value if isinstance(value, str) else to_text(value)
                    for name, value in vars(row).items()
                }
                for row in self.rows
            ],
            "why": self.why,
        }


def percent_of(free: Decimal, committed: Decimal) -> Decimal:
    """Give the percentage that is free, cut to two decimals; nothing is free of nothing."""
    return (free * HUNDRED / committed).quantize(HUNDREDTH, ROUND_FLOOR) if committed else Decimal("0.00")


def room(
    extra: Mapping[str, Rate] | None,
    *,
    pending: Iterable[Mapping[str, Rate]],
    committed: Mapping[str, Committed],
    peaks: Mapping[str, Rate],
) -> HeadRoom:
    """Say what a grant leaves of every model that it uses. Not known is never free: one model without capacity is enough."""
    if extra is None:
        return HeadRoom(None, None, why="Nothing tells which models these calls would go to.")
    unknown = [model for model in extra if committed.get(model, Committed()) == Committed()]
    asked = add_up(pending)
    rows = [
        ModelRoom(
            model,
            unit,
            committed=capacity,
            peak=getattr(peaks.get(model, Rate()), unit),
            extra=getattr(more, unit),
            pending=getattr(asked.get(model, Rate()), unit),
        )
        for model, more in sorted(extra.items())
        for unit in UNITS
        if (capacity := getattr(committed.get(model, Committed()), unit)) is not None
    ]
    if unknown or not rows:
        return HeadRoom(None, None, tuple(rows), f"No capacity is set for {', '.join(sorted(unknown))}.")
    return HeadRoom(
        min(row.percent_after_this for row in rows),
        min(row.percent_after_all_pending for row in rows),
        tuple(rows),
    )


def head_room_from_json(kept: Mapping[str, Any]) -> HeadRoom:
    """Read back what ``HeadRoom.as_json`` wrote."""
    rows = [
        ModelRoom(
            model=row["model"],
            unit=row["unit"],
            **{name: Decimal(row[name]) for name in ("committed", "peak", "extra", "pending")},
        )
        for row in kept.get("rows", ())
    ]
    percents = [kept.get(name) for name in ("after_this", "after_all_pending")]
    this, every = [None if value is None else Decimal(value) for value in percents]
    return HeadRoom(this, every, tuple(rows), kept.get("why", ""))


def add_up(rates: Iterable[Mapping[str, Rate]]) -> dict[str, Rate]:
    """Sum rates by model."""
    sums: dict[str, Rate] = {}
    for by_model in rates:
        for model, rate in by_model.items():
            sums[model] = sums.get(model, Rate()) + rate
    return sums


def commit(parts: Sequence[tuple[str, int | None, int | None]]) -> dict[str, Committed]:
    """Sum what providers committed by model: (model, requests, tokens). A unit that nobody named stays unknown."""
    sums: dict[str, Committed] = {}
    for model, requests, tokens in parts:
        before = sums.get(model, Committed())
        sums[model] = Committed(_plus(before.requests, requests), _plus(before.tokens, tokens))
    return sums


def _plus(sum_: Decimal | None, value: int | None) -> Decimal | None:
    return sum_ if value is None else (sum_ or ZERO) + value
