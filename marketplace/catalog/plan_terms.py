"""The terms of a plan as values: a fee, free calls, a price per call, a markup on cost. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.fields import Fields
from marketplace.core.money import exact, to_text

NAMES = (
    "fee", "free_calls", "price_per_call", "markup", "daily_calls_limit", "monthly_calls_limit", "trial_days",
)  # fmt: skip
MAX_TRIAL_DAYS = 365
MAX_COUNT = 2_000_000_000
ZERO = Decimal(0)


class HasCharges(Protocol):
    """A plan as it is stored: charges by code, and the limits of each subscription."""

    daily_calls_limit: int
    monthly_calls_limit: int
    trial_days: int

    def charge(self, code: str) -> dict[str, object]: ...


@dataclass(frozen=True)
class PlanTerms:
    """The terms of a plan. Amounts in major units of its currency; ``markup`` None means cost is not passed on."""

    fee: Decimal = ZERO
    free_calls: int = 0
    price_per_call: Decimal = ZERO
    markup: Decimal | None = None
    daily_calls_limit: int = 1_000
    monthly_calls_limit: int = 20_000
    trial_days: int = 0

    @property
    def charges(self) -> list[dict[str, Any]]:
        """Write the terms as the pricing calculator reads them."""
        charges: list[dict[str, Any]] = []
        if self.fee:
            charges.append({"code": "fee", "model": "flat", "amount": to_text(self.fee), "prorate": True})
        if self.price_per_call:
            price, free = to_text(self.price_per_call), str(self.free_calls)
            charges.append({"code": "calls", "model": "per_unit", "unit_amount": price, "free_units": free})
        if self.markup is not None:
            charges.append({"code": "cost", "model": "cost_plus", "markup": to_text(self.markup)})
        return charges

    def price_of_month(self, calls: int, *, cost_per_call: Decimal) -> Decimal:
        """Price a month of one subscriber, unrounded.

        Fee 50, markup 0.30, 10,000 calls at a cost of 0.01: 50 + 10,000 x 0.013 = 180.
        """
        with exact():
            usage = max(calls - self.free_calls, 0) * self.price_per_call
            passed_on = calls * cost_per_call * (1 + self.markup) if self.markup is not None else ZERO
            return self.fee + usage + passed_on

    def as_json(self) -> dict[str, Any]:
        """Show the terms as the API does: amounts as texts."""
        return {
            "fee": to_text(self.fee),
            "free_calls": self.free_calls,
            "price_per_call": to_text(self.price_per_call),
            "markup": None if self.markup is None else to_text(self.markup),
            "daily_calls_limit": self.daily_calls_limit,
            "monthly_calls_limit": self.monthly_calls_limit,
            "trial_days": self.trial_days,
        }


def parse_terms(data: Mapping[str, Any], *, base: PlanTerms | None = None) -> PlanTerms:
    """Read terms from JSON, over those of ``base``; raises InvalidInput with every field that is wrong."""
    errors: list[FieldError] = []
    fields = Fields(data, path="plan", errors=errors)
    fields.allow_only(NAMES, of="a plan")
    known = base or PlanTerms()
    markup = known.markup
    if "markup" in data:
        markup = fields.amount("markup") if fields.has("markup") else None
    terms = PlanTerms(
        fee=fields.amount("fee", known.fee),
        free_calls=_count(fields, "free_calls", known.free_calls),
        price_per_call=fields.amount("price_per_call", known.price_per_call),
        markup=markup,
        daily_calls_limit=_count(fields, "daily_calls_limit", known.daily_calls_limit),
        monthly_calls_limit=_count(fields, "monthly_calls_limit", known.monthly_calls_limit),
        trial_days=_count(fields, "trial_days", known.trial_days),
    )
    if terms.trial_days > MAX_TRIAL_DAYS:
        fields.refuse("trial_days", f"must be at most {MAX_TRIAL_DAYS}", limit=MAX_TRIAL_DAYS)
    if terms.free_calls and not terms.price_per_call:
        fields.refuse("free_calls", "are free of the price per call; set one, or leave this at 0")
    if terms.daily_calls_limit > terms.monthly_calls_limit:
        fields.refuse(
            "daily_calls_limit", "must not be above the monthly limit", limit=terms.monthly_calls_limit
        )
    if errors:
        raise InvalidInput.several(errors)
    return terms


def terms_of(plan: HasCharges) -> PlanTerms:
    """Read the terms of a plan row; charges of other codes or shapes are not part of them."""
    fee, calls, cost = (plan.charge(code) for code in ("fee", "calls", "cost"))
    return PlanTerms(
        fee=Decimal(str(fee.get("amount", "0"))),
        free_calls=int(Decimal(str(calls.get("free_units", "0")))),
        price_per_call=Decimal(str(calls.get("unit_amount", "0"))),
        markup=Decimal(str(cost["markup"])) if "markup" in cost else None,
        daily_calls_limit=plan.daily_calls_limit,
        monthly_calls_limit=plan.monthly_calls_limit,
        trial_days=plan.trial_days,
    )


def _count(fields: Fields, name: str, default: int) -> int:
    value = fields.amount(name, Decimal(default))
    if value != value.to_integral_value() or value > MAX_COUNT:
        fields.refuse(name, f"must be a whole number up to {MAX_COUNT:,}")
        return default
    return int(value)
