"""What subscriptions and payers have of their own: negotiated charges and redeemed coupons, read set by set."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import cast
from uuid import UUID

from django.db.models import Q

from billing.models import Coupon, CouponRedemption, NegotiatedPrice
from billing.pricing import Charge, Discount, parse_charges
from billing.pricing.discounts import Scope
from marketplace.catalog.models import Plan
from marketplace.core.money import from_minor
from marketplace.core.periods import Period


@dataclass(frozen=True)
class OwnPrices:
    """Agreed prices by subscription, and coupons by subscription and by payer (organization, cost center or None)."""

    negotiated: Mapping[UUID, Sequence[NegotiatedPrice]] = field(default_factory=dict)
    coupons: Mapping[UUID, Sequence[CouponRedemption]] = field(default_factory=dict)
    of_payers: Mapping[tuple[int, int | None], Sequence[CouponRedemption]] = field(default_factory=dict)

    def charges(
        self, charges: tuple[Charge, ...], *, subscription_id: UUID | None, plan: Plan | None, month: Period
    ) -> tuple[Charge, ...]:
        """Put a subscription's own charges in the place of those of its plan."""
        if subscription_id is None or plan is None:
            return charges
        own = {
            one.charge_code: own_charge(one)
            for one in self.negotiated.get(subscription_id, ())
            if one.plan_code == plan.code and holds(one, month)
        }
        return tuple(own.get(charge.code, charge) for charge in charges) if own else charges

    def discounts(
        self, *, subscription_id: UUID | None, app: str, plan: Plan | None, month: Period, takes_amounts: bool
    ) -> tuple[Discount, ...]:
        """Give the discounts of a subscription on a plan; amounts come off once a month, so off one plan only."""
        if subscription_id is None or plan is None:
            return ()
        found = [
            one.coupon
            for one in self.coupons.get(subscription_id, ())
            if holds(one, month) and one.coupon.fits(app=app, plan=plan.code)
        ]
        return tuple(
            discount_of(coupon)
            for coupon in found
            if coupon.percent is not None or (takes_amounts and coupon.currency == plan.currency)
        )

    def bill_discounts(
        self, payer: tuple[int, int | None], *, currency: str, month: Period
    ) -> list[Discount]:
        """Give the discounts of all that a payer is billed for a month, in the order in which they were redeemed."""
        return [
            discount_of(one.coupon)
            for one in self.of_payers.get(payer, ())
            if holds(one, month) and one.coupon.currency in ("", currency)
        ]


def read(*, since: date) -> OwnPrices:
    """Read what holds on or after a day (two queries)."""
    lasting = Q(ends_on=None) | Q(ends_on__gt=since)
    negotiated: dict[UUID, list[NegotiatedPrice]] = defaultdict(list)
    for price in NegotiatedPrice.objects.filter(lasting, state="agreed").order_by("proposed_at", "pk"):
        negotiated[price.subscription_id].append(price)
    coupons, of_payers = _by_subject(
        CouponRedemption.objects.filter(lasting).select_related("coupon").order_by("redeemed_at", "pk")
    )
    return OwnPrices(negotiated, coupons, of_payers)


def of_subscription(subscription_id: UUID) -> OwnPrices:
    """Read what one subscription has of its own (two queries)."""
    negotiated = list(NegotiatedPrice.objects.filter(subscription=subscription_id, state="agreed"))
    coupons, _ = _by_subject(
        CouponRedemption.objects.filter(subscription=subscription_id)
        .select_related("coupon")
        .order_by("redeemed_at", "pk")
    )
    return OwnPrices({subscription_id: negotiated}, coupons)


def _by_subject(
    redemptions: Iterable[CouponRedemption],
) -> tuple[dict[UUID, list[CouponRedemption]], dict[tuple[int, int | None], list[CouponRedemption]]]:
    coupons: dict[UUID, list[CouponRedemption]] = defaultdict(list)
    of_payers: dict[tuple[int, int | None], list[CouponRedemption]] = defaultdict(list)
    for one in redemptions:
        if one.subscription_id:
            coupons[one.subscription_id].append(one)
        else:
            of_payers[one.organization_id, one.cost_center_id].append(one)
    return coupons, of_payers


def holds(one: NegotiatedPrice | CouponRedemption, month: Period) -> bool:
    """Tell whether a price or coupon holds in a month; both do for whole months."""
    day = month.starts_at.date()
    return one.starts_on <= day and (one.ends_on is None or day < one.ends_on)


def own_charge(price: NegotiatedPrice) -> Charge:
    """Read the charge of a negotiated price."""
    [charge] = parse_charges([price.charge])
    return charge


def discount_of(coupon: Coupon) -> Discount:
    """Read the discount that a coupon gives."""
    amount = None if coupon.amount_minor is None else from_minor(coupon.amount_minor, coupon.currency)
    return Discount(coupon.code, cast(Scope, coupon.scope), coupon.percent, amount, tuple(coupon.charges))
