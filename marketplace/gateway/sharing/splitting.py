"""Who pays which part of a call that was bought together. Pure and exact: parts sum to the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import allocate
from marketplace.gateway.providers.base import Usage
from metering.rating import from_atto, to_atto


@dataclass(frozen=True, slots=True)
class Share:
    """By what the parts of one caller are measured: tokens of their own input and output, and the most they hold."""

    input_weight: int
    output_weight: int
    most_input: int
    most_output: int


def split(usage: Usage, shares: Sequence[Share]) -> list[Usage]:
    """Split what a call used, by largest remainder, as far as it goes within what each caller holds.

    Cached and written tokens are split by the input that each has, reasoning by the output, so that a part never has
    more of them than it has tokens.
    """
    inputs = within(
        usage.input_tokens, [one.input_weight for one in shares], [one.most_input for one in shares]
    )
    outputs = within(
        usage.output_tokens, [one.output_weight for one in shares], [one.most_output for one in shares]
    )
    cached = allocate(usage.cached_input_tokens, inputs)
    plain = [whole - part for whole, part in zip(inputs, cached, strict=True)]
    written = allocate(usage.cache_write_tokens, plain)
    reasoning = allocate(usage.reasoning_tokens, outputs)
    costs = _costs(usage.provider_cost, [i + o for i, o in zip(inputs, outputs, strict=True)])
    return [
        Usage(
            input_tokens=given,
            output_tokens=answered,
            cached_input_tokens=from_cache,
            cache_write_tokens=into_cache,
            reasoning_tokens=thought,
            is_estimated=usage.is_estimated,
            provider_cost=cost,
            currency=usage.currency,
        )
        for given, answered, from_cache, into_cache, thought, cost in zip(
            inputs, outputs, cached, written, reasoning, costs, strict=True
        )
    ]


def within(total: int, weights: Sequence[int], most: Sequence[int]) -> list[int]:
    """Split a number by weight, each part at most so much: what does not fit goes to the others, by weight.

    Where all together may have less than there is, the rest goes by what each may have.
    """
    if total > sum(most):
        return allocate(total, most)
    parts = [0] * len(weights)
    left = total
    while left:
        room = [limit - part for limit, part in zip(most, parts, strict=True)]
        open_weights = [weight if space else 0 for weight, space in zip(weights, room, strict=True)]
        if not any(open_weights):
            open_weights = room
        more = allocate(left, open_weights)
        parts = [part + min(extra, space) for part, extra, space in zip(parts, more, room, strict=True)]
        left = total - sum(parts)
    return parts


def _costs(cost: Decimal | None, weights: Sequence[int]) -> list[Decimal | None]:
    """Split what a provider says it charged, to the last digit that is stored."""
    if cost is None:
        return [None] * len(weights)
    whole = to_atto(cost.quantize(Decimal(1).scaleb(-18)))
    return [from_atto(part) for part in allocate(whole, weights)]
