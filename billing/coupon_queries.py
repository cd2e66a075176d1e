"""Answers about coupons: who sees which, who redeemed them, what they cost so far."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet, Sum

from billing.models import Coupon, CouponRedemption, Invoice, InvoiceLine
from billing.pricing.discounts import PREFIX
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import Subscription

ISSUED = ~Q(invoice__state=Invoice.State.DRAFT)


@dataclass(frozen=True)
class CouponCost:
    """What a coupon took off issued invoices and statements so far, in minor units of a currency."""

    currency: str
    amount_minor: int
    bills: int


def coupons(actor: Actor) -> QuerySet[Coupon]:
    """All coupons, for the marketplace's finance; nobody else may list them."""
    access.require_platform(actor, Role.FINANCE)
    return Coupon.objects.select_related("created_by").order_by("-created_at", "-pk")


def redemptions(actor: Actor) -> QuerySet[CouponRedemption]:
    """Redemptions that a person may see: of their teams' subscriptions and cost centers, or all for finance."""
    found = CouponRedemption.objects.select_related(
        "coupon", "subscription__app", "subscription__team", "subscription__plan", "organization", "cost_center",
        "redeemed_by",
    ).order_by("-redeemed_at", "-pk")  # fmt: skip
    if actor.is_platform(Role.FINANCE):
        return found
    served = Q(organization__in=actor.organizations_as(Role.FINANCE))
    centers = Q(cost_center__owner=actor.user) | Q(cost_center__teams__in=actor.team_ids)
    return found.filter(served | centers | Q(subscription__team__in=actor.team_ids)).distinct()


def of_subscription(subscription: Subscription) -> QuerySet[CouponRedemption]:
    """Coupons that take something off what a subscription costs, also those of the whole bill it stands on."""
    center = subscription.cost_center
    of_bill = Q(organization=center.organization_id, subscription=None) & (
        Q(cost_center=center) | Q(cost_center=None)
    )
    return (
        CouponRedemption.objects.filter(Q(subscription=subscription) | of_bill)
        .select_related("coupon")
        .order_by("redeemed_at", "pk")
    )


def costs(found: Iterable[Coupon]) -> dict[str, list[CouponCost]]:
    """Sum what coupons took off so far, by code (one query)."""
    lines = InvoiceLine.objects.filter(ISSUED, code__in=[PREFIX + one.code for one in found])
    rows = (
        lines.values("code", "invoice__currency")
        .annotate(minor=Sum("amount_minor"), bills=Count("invoice", distinct=True))
        .order_by("code", "invoice__currency")
    )
    by_code: dict[str, list[CouponCost]] = defaultdict(list)
    for row in rows:
        cost = CouponCost(row["invoice__currency"], -row["minor"], row["bills"])
        by_code[row["code"].removeprefix(PREFIX)].append(cost)
    return by_code
