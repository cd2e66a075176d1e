"""What is counted of usage, and its exact sums."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from marketplace.core.money import exact

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Measures:
    """Sums over some events. Cached and cache-write tokens are parts of input, reasoning tokens of output.

    ``latency_ms`` is the sum over the ``latency_events`` that told one; ``cost`` is unrounded. ``provider_cost`` is the
    sum over the ``provider_cost_events`` whose provider told one, ``compared_cost`` is our cost of those same events.
    """

    events: int = 0
    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    duration_ms: int = 0
    latency_ms: int = 0
    latency_events: int = 0
    cost: Decimal = ZERO
    provider_cost: Decimal = ZERO
    provider_cost_events: int = 0
    compared_cost: Decimal = ZERO

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def mean_latency_ms(self) -> int | None:
        """Rounded to the millisecond; None when no event told a latency."""
        if not self.latency_events:
            return None
        return (2 * self.latency_ms + self.latency_events) // (2 * self.latency_events)

    @property
    def cost_per_1000(self) -> Decimal | None:
        """What 1,000 requests cost on average; None without requests."""
        return self.cost * 1000 / self.requests if self.requests else None


MEASURES = tuple(field.name for field in fields(Measures))
AMOUNTS = ("cost", "provider_cost", "compared_cost")
COUNTED = tuple(name for name in MEASURES if name not in AMOUNTS)


def total(parts: Iterable[Measures]) -> Measures:
    """Add up without losing a digit."""
    rows = list(parts)
    sums: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in COUNTED}
    with exact():
        sums |= {name: sum((getattr(row, name) for row in rows), ZERO) for name in AMOUNTS}
    return Measures(**sums)
