"""Subscribing, changing plan and canceling with the money shown first: what was on the page is what is booked.

Amounts are worked out by the functions that bill the month (``billing.plan_history``, ``billing.pricing``).
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from django.db import transaction

from billing.plan_history import PlanChange, changes_since, plan_periods
from billing.pricing import parse_charges, quote
from billing.pricing.proration import Proration
from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog import subscription_approvals, subscriptions, terms
from marketplace.catalog.approval_models import SubscriptionRequest
from marketplace.catalog.models import App, Environment, Plan, Subscription
from marketplace.core.errors import Conflict
from marketplace.core.json import encode
from marketplace.core.money import format_money
from marketplace.core.periods import Period, month_of
from quotas.limits import Terms as LimitTerms
from quotas.limits import set_limit
from quotas.owners import owner_of


@dataclass(frozen=True)
class Fee:
    """The fee of a plan for the days of this month on which it is in force."""

    plan_id: int
    name: str
    days: int
    of_days: int
    amount_minor: int


@dataclass(frozen=True)
class Money:
    """What a step makes of the fees of this month, beside what they are without it, and of a month after."""

    month: str
    currency: str
    fees: tuple[Fee, ...]
    before_minor: int
    whole_month_minor: int

    @property
    def total_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees)

    @property
    def difference_minor(self) -> int:
        return self.total_minor - self.before_minor

    def as_json(self) -> dict[str, Any]:
        """Write what is shown, to be kept with the agreement."""
        fees = [
            {
                "plan": fee.plan_id,
                "name": fee.name,
                "days": fee.days,
                "of_days": fee.of_days,
                "amount_minor": fee.amount_minor,
            }
            for fee in self.fees
        ]
        return {
            "month": self.month,
            "currency": self.currency,
            "fees": fees,
            "total_minor": self.total_minor,
            "before_minor": self.before_minor,
            "whole_month_minor": self.whole_month_minor,
        }

    @property
    def digest(self) -> str:
        """Return what a page sends back to say which amounts, and which terms, somebody agreed to."""
        return sha256((terms.CURRENT.digest + encode(self.as_json())).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class SpendingLimit:
    """How much a subscription may cost a month by its own team's choice, and whether more is refused or told."""

    amount: Decimal
    mode: str
    currency: str


class AmountChanged(Conflict):
    """What a step costs, or its terms, is not what was on the page any more."""

    code = "amount_changed"

    def __init__(self, money: Money) -> None:
        self.money = money
        super().__init__(
            "Prices, terms or the day changed since this page was made. The fee of this month would now be "
            f"{format_money(money.total_minor, money.currency)}. Look again, and agree to that."
        )


def money_of_start(plan: Plan, *, at: datetime) -> Money:
    """Work out what the fees of this month are when a subscription starts now."""
    new = Subscription(plan_id=plan.pk, starts_at=at)
    fees = _fees(new, (), plans=[plan], month=month_of(at))
    return _money(plan, fees, before=(), at=at)


def money_of_change(subscription: Subscription, plan: Plan, *, at: datetime) -> Money:
    """Work out the fees of this month when a subscription moves to another plan now (two queries)."""
    assert subscription.plan_id is not None
    month, changes = month_of(at), _changes(subscription, at=at)
    moved = copy(subscription)
    moved.plan_id = plan.pk
    plans = [*_plans(subscription, changes), plan]
    after = _fees(moved, [*changes, PlanChange(at, subscription.plan_id)], plans=plans, month=month)
    before = _fees(subscription, changes, plans=plans, month=month)
    return _money(plan, after, before=before, at=at)


def money_of_cancel(subscription: Subscription, *, at: datetime) -> Money:
    """Work out the fees of this month when a subscription ends now (two queries)."""
    assert subscription.plan is not None
    month, changes = month_of(at), _changes(subscription, at=at)
    ended = copy(subscription)
    ended.ends_at = at
    plans = _plans(subscription, changes)
    after = _fees(ended, changes, plans=plans, month=month)
    before = _fees(subscription, changes, plans=plans, month=month)
    money = _money(subscription.plan, after, before=before, at=at)
    return Money(money.month, money.currency, money.fees, money.before_minor, 0)


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
    spending: SpendingLimit | None = None,
) -> Subscription:
    """Subscribe a team for the amounts it agreed to, with a spending limit of its own.

    Raises AmountChanged when they are others by now, and what ``subscriptions.start`` and ``set_limit`` raise.
    """
    money = money_of_start(plan, at=at)
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
        if spending is not None:
            limit = LimitTerms("cost", "month", spending.amount, spending.mode, spending.currency)
            set_limit(owner_of("subscription", subscription), terms=limit, by=by, at=at)
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
        shown=money_of_start(plan, at=at).as_json(),
    )


def change_plan(
    subscription: Subscription, *, plan: Plan, agreed: str, by: Actor, at: datetime
) -> Subscription:
    """Move a subscription to another plan for the amounts that were agreed to. Raises AmountChanged."""
    money = money_of_change(subscription, plan, at=at)
    _require_agreed(money, agreed)
    subscriptions.change_plan(subscription, plan=plan, by=by.user, at=at, shown=money.as_json())
    return subscription


def cancel(
    subscription: Subscription, *, agreed: str, by: Actor, at: datetime, reason: str = ""
) -> Subscription:
    """End a subscription for the amounts that were agreed to. Raises AmountChanged, IllegalTransition."""
    money = money_of_cancel(subscription, at=at) if subscription.plan else None
    if money is not None and subscription.ends_at is None:
        _require_agreed(money, agreed)
    shown = money.as_json() if money else {}
    subscriptions.cancel(subscription, by=by.user, at=at, reason=reason, shown=shown)
    return subscription


def _require_agreed(money: Money, agreed: str) -> None:
    if agreed != money.digest:
        raise AmountChanged(money)


def _money(plan: Plan, fees: Iterable[Fee], *, before: Iterable[Fee], at: datetime) -> Money:
    month = month_of(at)
    return Money(
        month=month.name,
        currency=plan.currency,
        fees=tuple(fees),
        before_minor=sum(fee.amount_minor for fee in before),
        whole_month_minor=_fee(plan, month, month).amount_minor,
    )


def _changes(subscription: Subscription, *, at: datetime) -> list[PlanChange]:
    return changes_since(month_of(at).starts_at).get(str(subscription.pk), [])


def _plans(subscription: Subscription, changes: Iterable[PlanChange]) -> list[Plan]:
    assert subscription.plan_id is not None
    return list(
        Plan.objects.filter(pk__in={change.old_plan_id for change in changes} | {subscription.plan_id})
    )


def _fees(
    subscription: Subscription, changes: Sequence[PlanChange], *, plans: Iterable[Plan], month: Period
) -> list[Fee]:
    by_id: Mapping[int, Plan] = {plan.pk: plan for plan in plans}
    periods = plan_periods(subscription, month, changes)
    return [_fee(by_id[plan_id], active, month) for plan_id, active in periods.items()]


def _fee(plan: Plan, active: Period, month: Period) -> Fee:
    charges = parse_charges(plan.charges) if plan.charges else ()
    flat = [charge for charge in charges if not charge.shape.is_metered]
    priced = quote(flat, currency=plan.currency, usage={}, period=month, active=active)
    days = Proration.between(active, month)
    return Fee(plan.pk, plan.name, days.days, days.of_days, priced.total_minor)
