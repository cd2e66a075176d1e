"""What a month of an app would cost and bring, and what the platform keeps of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from marketplace.catalog.plan_terms import PlanTerms
from marketplace.core.money import MAX_DECIMALS, exact, to_text

ZERO = Decimal(0)


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95 % interval."""

    low: Decimal
    mean: Decimal
    high: Decimal

    def times(self, factor: int) -> "Interval":
        with exact():
            return Interval(self.low * factor, self.mean * factor, self.high * factor)

    def as_json(self) -> dict[str, str]:
        return {"low": to_text(self.low), "expected": to_text(self.mean), "high": to_text(self.high)}


@dataclass(frozen=True)
class Projection:
    """A month of the expected calls by one subscriber: more subscribers bring more fees and use more free calls.

    Amounts unrounded, in major units. ``share`` is the platform's, of what cost leaves of the price (net of cost).
    ``break_even_share`` is the share at which the platform would break even on a gross agreement; None when not
    even the whole price covers the cost.
    """

    currency: str
    monthly_calls: int
    cost_per_call: Interval
    cost: Interval
    price: Decimal
    share: Decimal
    creator_amount: Decimal
    margin: Decimal
    margin_at_high_cost: Decimal
    break_even_share: Decimal | None

    @property
    def is_sustainable(self) -> bool:
        return self.margin >= 0

    def as_json(self) -> dict[str, Any]:
        """Write the projection for the review row and the API: amounts as texts."""
        return {
            "currency": self.currency,
            "monthly_calls": self.monthly_calls,
            "cost_per_call": self.cost_per_call.as_json(),
            "monthly_cost": self.cost.as_json(),
            "monthly_price": to_text(self.price),
            "share": to_text(self.share),
            "basis": "net_of_cost",
            "creator_amount": to_text(self.creator_amount),
            "platform_margin": to_text(self.margin),
            "platform_margin_at_high_cost": to_text(self.margin_at_high_cost),
            "break_even_share": None if self.break_even_share is None else to_text(self.break_even_share),
            "sustainable": self.is_sustainable,
        }


def project(
    terms: PlanTerms, *, monthly_calls: int, cost_per_call: Interval, share: Decimal, currency: str
) -> Projection:
    """Project a month: cost from the measured interval, price from the plan, margin at the given share.

    Cost 0.01, markup 0.30, share 0.20, 1,000 calls: cost 10, price 13, creator 2.40, platform margin 0.60; on a
    gross agreement the platform would break even at 10 / 13 = 76.9 %.
    """
    cost = cost_per_call.times(monthly_calls)
    price = terms.price_of_month(monthly_calls, cost_per_call=cost_per_call.mean)
    price_at_high = terms.price_of_month(monthly_calls, cost_per_call=cost_per_call.high)
    with exact():
        return Projection(
            currency=currency,
            monthly_calls=monthly_calls,
            cost_per_call=cost_per_call,
            cost=cost,
            price=price,
            share=share,
            creator_amount=max(price - cost.mean, ZERO) * (1 - share),
            margin=_margin(price, cost.mean, share),
            margin_at_high_cost=_margin(price_at_high, cost.high, share),
            break_even_share=_break_even_share(price, cost.mean),
        )


def from_json(data: Mapping[str, Any]) -> Projection | None:
    """Read a stored projection back; None when there is none."""
    if not data:
        return None
    return Projection(
        currency=data["currency"],
        monthly_calls=data["monthly_calls"],
        cost_per_call=_interval(data["cost_per_call"]),
        cost=_interval(data["monthly_cost"]),
        price=Decimal(data["monthly_price"]),
        share=Decimal(data["share"]),
        creator_amount=Decimal(data["creator_amount"]),
        margin=Decimal(data["platform_margin"]),
        margin_at_high_cost=Decimal(data["platform_margin_at_high_cost"]),
        break_even_share=None if data["break_even_share"] is None else Decimal(data["break_even_share"]),
    )


def _interval(data: Mapping[str, str]) -> Interval:
    return Interval(Decimal(data["low"]), Decimal(data["expected"]), Decimal(data["high"]))


def _margin(price: Decimal, cost: Decimal, share: Decimal) -> Decimal:
    """The platform's part less its cost: a creator never owes, so a price below cost is the platform's loss."""
    return (price - cost) * share if price >= cost else price - cost


def _break_even_share(price: Decimal, cost: Decimal) -> Decimal | None:
    if cost > price:
        return None
    if cost == 0:
        return ZERO
    return (cost / price).quantize(Decimal(1).scaleb(-MAX_DECIMALS), rounding=ROUND_CEILING)
