"""How much may be used so that a month does not cost more than an amount. Pure.

Limits count calls and cost; what they may count up to follows from the price. Where a plan charges for both, calls and
cost are divided as the app is expected to use them, so that both at their end come to no more than the amount.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing import Charge, Usage, quote
from billing.pricing.tiers import TieredShape
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact, format_money

CALLS, COST = "calls", "cost"
MOST_CALLS = 10**9
# Cost is limited to the millionth of a unit of currency.
COST_UNIT = Decimal("0.000001")
MOST_COST_UNITS = 10**16
ZERO = Decimal(0)


@dataclass(frozen=True)
class Within:
    """The most that may be used; None where the price does not count it."""

    calls: int | None
    cost: Decimal | None


def within(charges: Sequence[Charge], *, amount_minor: int, currency: str, cost_per_call: Decimal) -> Within:
    """Work out the most usage of a month that costs no more than an amount, fees for the whole month among it.

    Raises InvalidInput for an amount below the fees, and for a price that counts what no limit counts.
    """
    metered = {charge.code: charge for charge in charges if charge.shape.is_metered}
    if strange := metered.keys() - {CALLS, COST}:
        message = f"cannot be kept: this plan charges for {', '.join(sorted(strange))}, which no limit counts"
        raise InvalidInput("cap", message, code="cannot_be_capped")
    least_minor = _bill_minor(charges, currency)(0, ZERO)
    if amount_minor < least_minor:
        least = format_money(least_minor, currency)
        raise InvalidInput("cap", f"must be at least {least}, what a month costs unused", limit=least_minor)
    costs = _highest(charges, _bill_minor(charges, currency))
    if CALLS not in metered:
        if COST not in metered:
            return Within(None, None)
        units = _most(lambda units: costs(0, units * COST_UNIT) <= amount_minor, MOST_COST_UNITS)
        return Within(None, units * COST_UNIT)
    if COST not in metered:
        return Within(_most(lambda calls: costs(calls, ZERO) <= amount_minor, MOST_CALLS), None)
    # Nobody knows yet what a call costs: half of what the fees leave is for calls.
    for_calls = amount_minor if cost_per_call else (amount_minor + least_minor) // 2
    calls = _most(lambda calls: costs(calls, _cost(calls, cost_per_call)) <= for_calls, MOST_CALLS)
    units = _most(lambda units: costs(calls, units * COST_UNIT) <= amount_minor, MOST_COST_UNITS)
    return Within(calls, units * COST_UNIT)


def _cost(calls: int, cost_per_call: Decimal) -> Decimal:
    with exact():
        return calls * cost_per_call


def _bill_minor(charges: Sequence[Charge], currency: str) -> Callable[[int, Decimal], int]:
    def bill_minor(calls: int, cost: Decimal) -> int:
        usage = {CALLS: Usage.measured(Decimal(calls)), COST: Usage.measured(cost)}
        known = {charge.code: usage[charge.code] for charge in charges if charge.shape.is_metered}
        return quote(charges, currency=currency, usage=known).total_minor

    return bill_minor


def _highest(
    charges: Sequence[Charge], bill_minor: Callable[[int, Decimal], int]
) -> Callable[[int, Decimal], int]:
    """Give the highest bill on the way to a usage: a volume price falls where the next tier begins."""
    calls_ends, cost_ends = (
        [end for charge in charges if charge.code == code for end in _tier_ends(charge)]
        for code in (CALLS, COST)
    )

    def highest(calls: int, cost: Decimal) -> int:
        at_calls = {calls, *(int(end) for end in calls_ends if end < calls)}
        at_cost = {cost, *(end for end in cost_ends if end < cost)}
        return max(bill_minor(one, other) for one in at_calls for other in at_cost)

    return highest


def _tier_ends(charge: Charge) -> list[Decimal]:
    if not isinstance(charge.shape, TieredShape):
        return []
    with exact():
        return [tier.up_to + charge.free_units for tier in charge.shape.tiers if tier.up_to is not None]


def _most(holds: Callable[[int], bool], most: int) -> int:
    """Find the greatest number for which something holds that, once it does not, never holds again."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
