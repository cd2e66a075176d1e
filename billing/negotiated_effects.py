"""What a negotiated price makes of a month of a subscription's own use: what it pays, what is left to the platform."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from billing import billable
from billing.bills import Contract, Metered, price
from billing.pricing import Charge
from billing.terms import ShareTerms
from marketplace.catalog import listing_pages
from marketplace.catalog.models import Subscription
from marketplace.core.money import exact, from_minor, to_text
from marketplace.core.periods import month_of

DAYS = 30
USUAL_CALLS = 1_000


@dataclass(frozen=True)
class Outlook:
    """A month of the subscription's own use at a price; `part` is what the platform keeps of it after cost."""

    price: Decimal
    creator: Decimal
    margin: Decimal

    @property
    def part(self) -> Decimal | None:
        with exact():
            return self.margin / self.price if self.price else None

    def is_below(self, floor: Decimal) -> bool:
        with exact():
            return self.margin < self.price * floor

    def as_json(self) -> dict[str, str]:
        return {name: to_text(getattr(self, name)) for name in ("price", "creator", "margin")}


@dataclass(frozen=True)
class Effect:
    """What a price makes of a month: before and after, on so many calls."""

    calls: int
    cost: Decimal
    currency: str
    before: Outlook
    after: Outlook
    floor: Decimal

    @property
    def needs_second_person(self) -> bool:
        """Tell whether it lowers what the platform keeps, to under the floor."""
        return self.after.is_below(self.floor) and self.after.margin < self.before.margin

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "cost": to_text(self.cost),
            "currency": self.currency,
            "floor": to_text(self.floor),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
        }


def effect_of_json(data: dict[str, Any]) -> Effect:
    """Read an effect that was kept with its proposal."""
    before, after = (
        Outlook(*(Decimal(data[side][name]) for name in ("price", "creator", "margin")))
        for side in ("before", "after")
    )
    return Effect(
        data["calls"], Decimal(data["cost"]), data["currency"], before, after, Decimal(data["floor"])
    )


def compare(
    subscription: Subscription,
    *,
    before: Sequence[Charge],
    after: Sequence[Charge],
    at: datetime,
    share: ShareTerms,
    floor: Decimal,
) -> Effect:
    """Price what a subscription used in 30 days as a whole month, under both charges (a query or two)."""
    assert subscription.plan is not None
    usage = expected_usage(subscription, at=at)
    outlooks = [_outlook(subscription, charges, usage, share, at) for charges in (before, after)]
    return Effect(usage.requests, usage.cost, subscription.plan.currency, outlooks[0], outlooks[1], floor)


def expected_usage(subscription: Subscription, *, at: datetime) -> Metered:
    """Read what a subscription used in 30 days; without any, a usual number of calls at what a call of the app costs."""
    since = at.astimezone(UTC).date() - timedelta(days=DAYS - 1)
    rows = billable.usage_rows(Q(day__gte=since, attribution__subscription=subscription.pk))
    used = sum((billable.metered_of(row) for row in rows), Metered())
    if used.requests:
        return used
    listing = getattr(subscription.app, "listing", None)
    per_call = listing_pages.cost_per_call(listing.version) if listing else None
    with exact():
        return Metered(USUAL_CALLS, USUAL_CALLS * (per_call or Decimal(0)))


def _outlook(
    subscription: Subscription, charges: Sequence[Charge], usage: Metered, share: ShareTerms, at: datetime
) -> Outlook:
    assert subscription.plan is not None
    month, currency = month_of(at), subscription.plan.currency
    lines = price(Contract(tuple(charges), currency, month, month, usage, share))
    whole = sum(line.amount_minor for line in lines)
    creator = sum(line.creator_minor for line in lines)
    with exact():
        margin = from_minor(whole - creator, currency) - usage.cost
    return Outlook(from_minor(whole, currency), from_minor(creator, currency), margin)
