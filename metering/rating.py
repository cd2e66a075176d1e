"""What usage costs: quantities times the prices in force. Pure, exact, and it explains itself.

Amounts are integers of 10**-18 currency units ("atto"), the precision in which costs are stored, so that a rate is a
handful of integer products on the hot path and no digit is ever lost by a float. One rounding, half away from zero, to
10**-18, happens where a price per million tokens or per hour does not divide evenly.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

ATTO = 10**18
TOKENS_PER_PRICE = 1_000_000
MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """A rate card: atto units per million tokens of each class."""

    id: int
    currency: str
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    starts_at: datetime
    ends_at: datetime | None

    def is_in_force(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class InstancePrice:
    """Atto units per hour of an instance type."""

    id: int
    currency: str
    per_hour: int
    starts_at: datetime
    ends_at: datetime | None

    def is_in_force(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


class Quantities(msgspec.Struct, frozen=True, gc=False):
    """What was used. Cached and cache-write tokens are parts of input, reasoning tokens of output."""

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    duration_ms: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RatedPart:
    """One product of the explanation: ``quantity`` units at ``unit_price`` for each ``per`` of them."""

    measure: str
    quantity: int
    unit_price: Decimal
    per: int
    amount: Decimal


class Rated(msgspec.Struct, frozen=True, gc=False):
    """A cost and the prices it came from."""

    cost_atto: int
    rate_card_id: int | None
    instance_rate_id: int | None

    @property
    def cost(self) -> Decimal:
        return from_atto(self.cost_atto)


def to_atto(amount: Decimal) -> int:
    """Convert an amount with at most 18 decimals; more are a programming error."""
    scaled = amount.scaleb(18)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{amount} has more than 18 decimals")
    return whole


def from_atto(atto: int) -> Decimal:
    """Return the amount in currency units, exactly."""
    return Decimal(atto).scaleb(-18)


def _products(used: Quantities, prices: TokenPrices) -> tuple[tuple[str, int, int], ...]:
    """Split the tokens into their priced classes: each token is charged once, in the most special class."""
    plain_input = used.input_tokens - used.cached_input_tokens - used.cache_write_tokens
    plain_output = used.output_tokens - used.reasoning_tokens
    return (
        ("input_tokens", plain_input, prices.input),
        ("cached_input_tokens", used.cached_input_tokens, prices.cached_input),
        ("cache_write_tokens", used.cache_write_tokens, prices.cache_write),
        ("output_tokens", plain_output, prices.output),
        ("reasoning_tokens", used.reasoning_tokens, prices.reasoning),
    )


def token_cost(used: Quantities, prices: TokenPrices) -> int:
    """Return the atto cost of the tokens: e.g. 480 input tokens at 0.20 per million = 0.000096."""
    plain_input = used.input_tokens - used.cached_input_tokens - used.cache_write_tokens
    total = plain_input * prices.input + (used.output_tokens - used.reasoning_tokens) * prices.output
    if used.cached_input_tokens or used.cache_write_tokens or used.reasoning_tokens:
        total += (
            used.cached_input_tokens * prices.cached_input
            + used.cache_write_tokens * prices.cache_write
            + used.reasoning_tokens * prices.reasoning
        )
    return (total + TOKENS_PER_PRICE // 2) // TOKENS_PER_PRICE


def time_cost(used: Quantities, price: InstancePrice) -> int:
    """Return the atto cost of the time: e.g. 230 ms at 0.526 an hour = 0.000033605555555556."""
    return (used.duration_ms * price.per_hour + MS_PER_HOUR // 2) // MS_PER_HOUR


def rate(used: Quantities, prices: TokenPrices | None, instance: InstancePrice | None) -> Rated:
    """Rate usage: tokens at the rate card in force plus time at the instance rate in force."""
    cost = 0
    if prices is not None:
        cost = token_cost(used, prices)
    if instance is not None:
        cost += time_cost(used, instance)
    return Rated(cost, prices.id if prices else None, instance.id if instance else None)


def explain(used: Quantities, prices: TokenPrices | None, instance: InstancePrice | None) -> list[RatedPart]:
    """Return the products whose sum is the cost (each rounded to 18 decimals for display only)."""
    parts = []
    if prices is not None:
        for measure, quantity, price in _products(used, prices):
            if quantity:
                amount = from_atto((quantity * price + TOKENS_PER_PRICE // 2) // TOKENS_PER_PRICE)
                parts.append(RatedPart(measure, quantity, from_atto(price), TOKENS_PER_PRICE, amount))
    if instance is not None and used.duration_ms:
        amount = from_atto(time_cost(used, instance))
        parts.append(
            RatedPart("duration_ms", used.duration_ms, from_atto(instance.per_hour), MS_PER_HOUR, amount)
        )
    return parts
