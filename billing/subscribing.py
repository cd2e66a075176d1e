"""Subscribing, changing plan, pausing and canceling with the money shown first: what was on the page is what is booked.

Amounts are worked out by ``billing.subscription_money``, with the functions that bill the month.
"""

from datetime import datetime

from django.db import transaction

from billing import spend_caps
from billing.spend_caps import CapTerms
from billing.subscription_money import (
    NOW,
    PERIOD_END,
    Money,
    Part,
    money_of_cancel,
    money_of_change,
    money_of_month,
    money_of_start,
    usual_time,
)
from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog import subscription_approvals, subscription_steps, subscriptions
from marketplace.catalog.approval_models import SubscriptionRequest
from marketplace.catalog.models import App, Environment, Plan, Subscription
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.periods import month_of

__all__ = [
    "NOW", "PERIOD_END", "AmountChanged", "Money", "Part", "approve", "cancel", "change_plan",
    "money_of_cancel", "money_of_change", "money_of_month", "money_of_start", "start", "usual_time",
]  # fmt: skip


class AmountChanged(Conflict):
    """What a step costs, or its terms, is not what was on the page any more."""

    code = "amount_changed"

    def __init__(self, money: Money) -> None:
        self.money = money
        super().__init__(
            "Prices, terms or the day changed since this page was made. The fee of this month would now be "
            f"{format_money(money.total_minor, money.currency)}. Look again, and agree to that."
        )


def start(
    app: App,
    *,
    plan: Plan,
    team: Team,
    cost_center: CostCenter,
    agreed: str,
    by: Actor,
    at: datetime,
    environment: str = Environment.PRODUCTION,
    calls: int | None = None,
    cap: CapTerms | None = None,
) -> Subscription:
    """Subscribe a team for the amounts it agreed to, with a spend cap of its own.

    Raises AmountChanged when they are others by now, and what ``subscriptions.start`` and ``spend_caps.put`` raise.
    """
    money = money_of_start(plan, at=at, team=team, environment=environment)
    _require_agreed(money, agreed)
    with transaction.atomic():
        subscription = subscriptions.start(
            app,
            plan=plan,
            team=team,
            cost_center=cost_center,
            environment=environment,
            calls=calls,
            by=by.user,
            at=at,
            shown=money.as_json(),
        )
        if cap is not None:
            spend_caps.put(subscription, terms=cap, by=by, at=at)
    return subscription


def approve(request: SubscriptionRequest, *, by: Actor, at: datetime, reason: str = "") -> Subscription:
    """Approve a request and do what it asks for, in one transaction: start a subscription, or change its plan.

    Fees begin now. Raises NotAllowed, IllegalTransition, and what ``subscriptions`` raises when it cannot be had any more.
    """
    access.require(
        subscription_approvals.may_decide(request, actor=by), message="Somebody else decides this request."
    )
    with transaction.atomic():
        subscription = _done_for(request, at=at)
        subscription_approvals.close(
            request,
            to=SubscriptionRequest.State.APPROVED,
            by=by.user,
            at=at,
            reason=reason,
            subscription=subscription,
        )
    return subscription


def _done_for(request: SubscriptionRequest, *, at: datetime) -> Subscription:
    present = (
        Subscription.objects.select_related("app", "plan", "team")
        .filter(app=request.app, team=request.team, environment=request.environment)
        .exclude(state=Subscription.State.CANCELED)
        .first()
    )
    who, plan = request.requested_by, request.plan
    if present is not None:
        shown = money_of_change(present, plan, at=at).as_json()
        subscriptions.change_plan(present, plan=plan, approval=request, by=who, at=at, shown=shown)
        return present
    return subscriptions.start(
        request.app,
        plan=plan,
        team=request.team,
        cost_center=request.cost_center,
        environment=request.environment,
        calls=request.calls,
        approval=request,
        by=who,
        at=at,
        shown=money_of_start(plan, at=at, team=request.team, environment=request.environment).as_json(),
    )


def change_plan(
    subscription: Subscription, *, plan: Plan, agreed: str, by: Actor, at: datetime, when: str = NOW
) -> Subscription:
    """Move a subscription to another plan for the amounts that were agreed to, now or when the month ends.

    Raises AmountChanged, InvalidInput, and what ``subscriptions.change_plan`` raises.
    """
    require_time(when)
    money = money_of_change(subscription, plan, at=at, when=when)
    _require_agreed(money, agreed)
    if when == PERIOD_END:
        due_at = month_of(at).ends_at
        subscription_steps.change_plan_later(
            subscription, plan=plan, due_at=due_at, by=by.user, at=at, shown=money.as_json()
        )
        return subscription
    with transaction.atomic():
        subscriptions.change_plan(subscription, plan=plan, by=by.user, at=at, shown=money.as_json())
        spend_caps.follow(subscription, at=at)
    return subscription


def cancel(
    subscription: Subscription, *, agreed: str, by: Actor, at: datetime, reason: str = "", when: str = NOW
) -> Subscription:
    """End a subscription for the amounts that were agreed to, now or when the month ends.

    Raises AmountChanged, InvalidInput, IllegalTransition, NotActive.
    """
    require_time(when)
    money = money_of_cancel(subscription, at=at, when=when) if subscription.plan else None
    if money is not None and subscription.ends_at is None:
        _require_agreed(money, agreed)
    shown = money.as_json() if money else {}
    if when == PERIOD_END:
        due_at = month_of(at).ends_at
        subscription_steps.cancel_later(
            subscription, due_at=due_at, by=by.user, at=at, reason=reason, shown=shown
        )
    else:
        subscriptions.cancel(subscription, by=by.user, at=at, reason=reason, shown=shown)
    return subscription


def require_time(when: str) -> None:
    """Raise InvalidInput unless this says when a step is taken."""
    if when not in (NOW, PERIOD_END):
        raise InvalidInput("when", f"must be {NOW} or {PERIOD_END}")


def _require_agreed(money: Money, agreed: str) -> None:
    if agreed != money.digest:
        raise AmountChanged(money)
