"""What a month of an app would cost and bring, and what the platform keeps of it, as billing worked it out. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.core.money import exact, to_text


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
class PlanOutlook:
    """A month of one subscriber on one plan: what it brings at a number of calls, and from how many calls it pays.

    ``covered`` is the platform's part over the cost: 1 breaks even; None when nothing is spent. ``from_calls`` to
    ``until_calls`` is the stretch of calls around the expected ones (or next to them) that loses nothing; without
    ``until_calls`` it has no end, without either there is none. ``is_free``: not even its quota used in full brings
    anything; ``most_cost`` is what such a month costs at the upper end.
    """

    code: str
    name: str
    is_proposed: bool
    calls: int
    price: Decimal
    cost: Decimal
    creator_amount: Decimal
    margin: Decimal
    margin_at_high_cost: Decimal
    covered: Decimal | None
    from_calls: int | None
    until_calls: int | None
    is_free: bool
    most_calls: int
    most_cost: Decimal

    def as_json(self) -> dict[str, Any]:
        amounts = ("price", "cost", "creator_amount", "margin", "margin_at_high_cost", "most_cost")
        return {
            **{name: getattr(self, name) for name in OUTLOOK_PLAIN},
            **{name: to_text(getattr(self, name)) for name in amounts},
            "covered": None if self.covered is None else to_text(self.covered),
        }


OUTLOOK_PLAIN = (
    "code", "name", "is_proposed", "calls", "from_calls", "until_calls", "is_free", "most_calls",
)  # fmt: skip


@dataclass(frozen=True)
class Projection:
    """A month of the expected calls by one subscriber: more subscribers bring more fees and use more free calls.

    Amounts in major units: cost unrounded, price as an invoice would say. ``share`` is the platform's, of the price
    (``gross``) or of what cost leaves of it (``net_of_cost``); ``is_agreed``: by an agreement of the app, not by
    default. ``break_even_share`` is the share at which the platform would break even on a gross agreement; None when
    not even the whole price covers the cost. ``plans`` are all on which the app would be sold.
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
    basis: str = "net_of_cost"
    is_agreed: bool = False
    plans: tuple[PlanOutlook, ...] = ()

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
            "basis": self.basis,
            "agreed": self.is_agreed,
            "creator_amount": to_text(self.creator_amount),
            "platform_margin": to_text(self.margin),
            "platform_margin_at_high_cost": to_text(self.margin_at_high_cost),
            "break_even_share": None if self.break_even_share is None else to_text(self.break_even_share),
            "sustainable": self.is_sustainable,
            "plans": [one.as_json() for one in self.plans],
        }


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
        break_even_share=_amount(data["break_even_share"]),
        basis=data["basis"],
        is_agreed=data.get("agreed", False),
        plans=tuple(_outlook(one) for one in data.get("plans", ())),
    )


def _interval(data: Mapping[str, str]) -> Interval:
    return Interval(Decimal(data["low"]), Decimal(data["expected"]), Decimal(data["high"]))


def _outlook(data: Mapping[str, Any]) -> PlanOutlook:
    plain = {name: data[name] for name in OUTLOOK_PLAIN}
    return PlanOutlook(
        **plain,
        price=Decimal(data["price"]),
        cost=Decimal(data["cost"]),
        creator_amount=Decimal(data["creator_amount"]),
        margin=Decimal(data["margin"]),
        margin_at_high_cost=Decimal(data["margin_at_high_cost"]),
        covered=_amount(data["covered"]),
        most_cost=Decimal(data["most_cost"]),
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
