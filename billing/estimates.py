"""Worked bills: what a plan costs at some number of calls, and what that leaves for creator and platform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.pricing import Charge, Line, Usage, quote
from billing.revenue_share import Split, split
from billing.terms import ShareTerms
from marketplace.core.money import exact, from_minor

USUAL_CALLS = (1_000, 10_000, 100_000)


@dataclass(frozen=True)
class WorkedBill:
    """A month at a number of calls: the lines, the total, the platform's cost and who gets what."""

    calls: int
    lines: tuple[Line, ...]
    currency: str
    total_minor: int
    platform_cost: Decimal
    split: Split

    @property
    def price_per_call(self) -> Decimal | None:
        with exact():
            return from_minor(self.total_minor, self.currency) / self.calls if self.calls else None


def worked_bills(
    charges: Sequence[Charge],
    *,
    cost_per_call: Decimal,
    terms: ShareTerms,
    currency: str,
    calls: Sequence[int] = USUAL_CALLS,
    per_call: Mapping[str, Decimal] | None = None,
) -> list[WorkedBill]:
    """Bill a whole month at each number of calls, just as the month end would.

    `per_call` says how much of each other measure a call uses, by the code of its charge.

    Cost 10 per 1,000 calls, multiplier 1.3, fee 50: 10,000 calls are 50 + 10 x 13 = 180.
    """
    return [_worked_bill(charges, count, cost_per_call, terms, currency, per_call or {}) for count in calls]


def _worked_bill(
    charges: Sequence[Charge],
    calls: int,
    cost_per_call: Decimal,
    terms: ShareTerms,
    currency: str,
    per_call: Mapping[str, Decimal],
) -> WorkedBill:
    with exact():
        platform_cost = cost_per_call * calls
        usage = {code: Usage.of(rate * calls) for code, rate in per_call.items()}
    usage |= {"calls": Usage.of(Decimal(calls)), "cost": Usage.of(platform_cost)}
    bill = quote(charges, currency=currency, usage=usage)
    parts = split(
        from_minor(bill.total_minor, currency),
        platform_cost=platform_cost,
        share=terms.share,
        basis=terms.basis,
        currency=currency,
        fees=terms.fees,
    )
    return WorkedBill(calls, bill.lines, currency, bill.total_minor, platform_cost, parts)
