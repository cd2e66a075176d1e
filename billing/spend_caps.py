"""The spend cap of a subscription: set by its team, kept by limits of calls and cost that admission enforces."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from billing import cap_limits
from billing.cap_limits import Within
from billing.models import SpendCap
from billing.pricing import parse_charges
from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import listing_pages, queries
from marketplace.catalog.models import Plan, Subscription
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.money import format_money
from quotas.limits import Terms as LimitTerms
from quotas.limits import end_limit, set_limit
from quotas.models import Limit
from quotas.owners import owner_of

NOTE = "spend cap of "


@dataclass(frozen=True)
class CapTerms:
    """How much a subscription may cost a month, in the currency of its plan, and whether more is refused or told."""

    amount_minor: int
    mode: str = SpendCap.Mode.HARD


def put(subscription: Subscription, *, terms: CapTerms, by: Actor, at: datetime) -> SpendCap:
    """Set the spend cap of a subscription, in place of the one it had; what was used of the month counts.

    Raises InvalidInput for a sandbox, an amount that the fees alone exceed and a price that no limit can keep, and
    NotAllowed for who may not set its limits.
    """
    plan = subscription.plan
    if plan is None:
        raise InvalidInput("cap", "A sandbox has its credit instead.")
    if terms.mode not in SpendCap.Mode.values:
        raise InvalidInput("mode", f"must be one of {', '.join(SpendCap.Mode.values)}")
    if terms.amount_minor <= 0:
        raise InvalidInput("cap", "must be more than zero", limit=0)
    most = within_of(plan, subscription, amount_minor=terms.amount_minor)
    with transaction.atomic():
        cap, _ = SpendCap.objects.update_or_create(
            subscription=subscription,
            defaults={
                "amount_minor": terms.amount_minor,
                "currency": plan.currency,
                "mode": terms.mode,
                "plan": plan,
                "set_by": by.user,
                "set_at": at,
            },
        )
        _set_limits(cap, most, by=by, at=at)
        new = {"amount_minor": cap.amount_minor, "currency": cap.currency, "mode": cap.mode}
        audit.record("billing.spend_cap.set", subject=subscription, at=at, by=by.user, new=new)
    return cap


def remove(subscription: Subscription, *, by: Actor, at: datetime) -> None:
    """End the spend cap of a subscription and the limits that kept it; nothing when it has none. Raises NotAllowed."""
    with transaction.atomic():
        cap = SpendCap.objects.select_for_update().filter(subscription=subscription).first()
        if cap is None:
            return
        _end_limits(subscription, (), by=by, at=at)
        old = {"amount_minor": cap.amount_minor, "currency": cap.currency, "mode": cap.mode}
        cap.delete()
        audit.record("billing.spend_cap.removed", subject=subscription, at=at, by=by.user, old=old)


def follow(subscription: Subscription, *, at: datetime) -> None:
    """Work the limits of a cap out anew after the plan changed; a plan that cannot be kept within it loses the cap."""
    cap = cap_of(subscription)
    if cap is None or cap.plan_id == subscription.plan_id:
        return
    by = actor_for(cap.set_by)
    try:
        with transaction.atomic():
            put(subscription, terms=CapTerms(cap.amount_minor, cap.mode), by=by, at=at)
    except (InvalidInput, NotAllowed):
        # The limits of before stay: stricter than agreed is safe, none at all is not.
        SpendCap.objects.filter(pk=cap.pk).update(plan=subscription.plan)


def follow_all(*, at: datetime) -> int:
    """Let every cap follow whose subscription is on another plan by now; returns how many. Safe to run twice."""
    behind = SpendCap.objects.exclude(plan=F("subscription__plan")).select_related(
        "subscription__plan", "set_by"
    )
    found = list(behind.exclude(subscription__state=Subscription.State.CANCELED).order_by("pk"))
    for cap in found:
        follow(cap.subscription, at=at)
    return len(found)


def cap_of(subscription: Subscription) -> SpendCap | None:
    """Return the spend cap of a subscription."""
    return SpendCap.objects.filter(subscription=subscription).select_related("set_by").first()


def within_of(plan: Plan, subscription: Subscription, *, amount_minor: int) -> Within:
    """Work out what may be used of a plan within an amount; see ``cap_limits.within``."""
    version = queries.listed_version(subscription.app)
    expected = listing_pages.cost_per_call(version) if version else None
    return cap_limits.within(
        parse_charges(plan.charges) if plan.charges else (),
        amount_minor=amount_minor,
        currency=plan.currency,
        cost_per_call=expected or Decimal(0),
    )


def _set_limits(cap: SpendCap, most: Within, *, by: Actor, at: datetime) -> None:
    owner = owner_of("subscription", cap.subscription)
    note = f"{NOTE}{format_money(cap.amount_minor, cap.currency)} a month"
    wanted = [
        LimitTerms("requests", "month", Decimal(most.calls), cap.mode) if most.calls is not None else None,
        LimitTerms("cost", "month", most.cost, cap.mode, cap.currency) if most.cost is not None else None,
    ]
    limits = [terms for terms in wanted if terms is not None]
    for terms in limits:
        set_limit(owner, terms=terms, by=by, at=at, note=note)
    _end_limits(cap.subscription, [terms.measure for terms in limits], by=by, at=at)


def _end_limits(
    subscription: Subscription, kept: list[str] | tuple[str, ...], *, by: Actor, at: datetime
) -> None:
    owner = owner_of("subscription", subscription)
    limits = Limit.objects.filter(
        subscription=subscription, note__startswith=NOTE, is_default=False, ends_at=None
    )
    for limit in limits.exclude(measure__in=kept).order_by("pk"):
        end_limit(limit, owner=owner, by=by, at=at, reason="the spend cap ended")
