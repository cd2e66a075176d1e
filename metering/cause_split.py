"""Why usage cost more than usual: more calls, other calls, or a higher price. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from marketplace.core.money import exact

ZERO = Decimal(0)
ATTO = Decimal(1).scaleb(-18)


@dataclass(frozen=True)
class Used:
    """What was used of one model. ``units`` are its tokens, or its requests where it has none."""

    requests: Decimal
    units: Decimal
    cost: Decimal


@dataclass(frozen=True)
class CauseSplit:
    """What the difference is made of. The three sum to it to the last digit."""

    volume: Decimal
    mix: Decimal
    price: Decimal

    @property
    def total(self) -> Decimal:
        with exact():
            return self.volume + self.mix + self.price


def split(usual: Mapping[str, Used], now: Mapping[str, Used]) -> CauseSplit:
    """Split what ``now`` costs more than ``usual`` by cause; both map a model to its use in a time of the same length.

    Volume: the calls that were more, at what a call usually costs. Mix: the tokens of each model, at what a token of it
    usually costs, beyond that: longer calls and other models. Price: the rest, what the same tokens of the same models
    cost more. A model that was not used before has no usual price, so all of it is mix. Both divisions round to 10^-18,
    and what they leave is in the price, so that nothing is lost.
    """
    with exact():
        cost_before = sum((one.cost for one in usual.values()), ZERO)
        cost_now = sum((one.cost for one in now.values()), ZERO)
        volume = _volume(usual, now, cost_before)
        at_usual_prices = sum((_at_usual_price(usual.get(model), one) for model, one in now.items()), ZERO)
        if not cost_before:
            return CauseSplit(volume=cost_now, mix=ZERO, price=ZERO)
        mix = at_usual_prices - cost_before - volume
        return CauseSplit(volume=volume, mix=mix, price=cost_now - at_usual_prices)


def _volume(usual: Mapping[str, Used], now: Mapping[str, Used], cost_before: Decimal) -> Decimal:
    calls_before = sum((one.requests for one in usual.values()), ZERO)
    calls_now = sum((one.requests for one in now.values()), ZERO)
    if not calls_before:
        return ZERO
    return ((calls_now - calls_before) * cost_before / calls_before).quantize(ATTO)


def _at_usual_price(before: Used | None, now: Used) -> Decimal:
    if before is None or not before.units:
        return now.cost
    return (now.units * before.cost / before.units).quantize(ATTO)
