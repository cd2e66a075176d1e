"""What a step of a subscription makes of its fees: worked out by what bills the month, shown before it is agreed.

Amounts come from the functions that bill the month (``billing.plan_history``, ``billing.pricing``), and a change is shown
as a line of credit and a line of charge, each rounded as the bill rounds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from billing.plan_history import (
    NEVER,
    Free,
    PlanChange,
    changes_since,
    free_days_since,
    plan_periods,
)
from billing.pricing import parse_charges, quote
from billing.pricing.proration import Proration
from marketplace.accounts.models import Team
from marketplace.catalog import terms, trials
from marketplace.catalog.models import Environment, Plan, Subscription
from marketplace.core.json import encode
from marketplace.core.periods import Period, month_of

NOW = "now"
PERIOD_END = "period_end"


@dataclass(frozen=True)
class Fee:
    """The fee of a plan for the days of this month on which it is in force."""

    plan_id: int
    name: str
    days: int
    of_days: int
    amount_minor: int


@dataclass(frozen=True)
class Part:
    """One line of a change: what of a plan's fee is credited (below zero) or charged, for how many days."""

    name: str
    days: int
    of_days: int
    amount_minor: int

    @property
    def is_credit(self) -> bool:
        return self.amount_minor < 0


@dataclass(frozen=True)
class Money:
    """What a step makes of the fees of this month, beside what they are without it, and of a month after.

    ``starts_at`` says when the step is taken, where that is not now; ``free_until`` is the end of a trial.
    """

    month: str
    currency: str
    fees: tuple[Fee, ...]
    fees_before: tuple[Fee, ...]
    whole_month_minor: int
    starts_at: datetime | None = None
    free_until: datetime | None = None

    @property
    def before_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees_before)

    @property
    def total_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees)

    @property
    def difference_minor(self) -> int:
        return self.total_minor - self.before_minor

    @property
    def parts(self) -> tuple[Part, ...]:
        """Give the difference plan by plan: credits first, then charges; they sum to ``difference_minor``."""
        before = {fee.plan_id: fee for fee in self.fees_before}
        after = {fee.plan_id: fee for fee in self.fees}
        parts = [
            _part(before.get(plan_id), after.get(plan_id)) for plan_id in dict.fromkeys([*before, *after])
        ]
        return tuple(sorted((one for one in parts if one.amount_minor), key=lambda one: not one.is_credit))

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
        dated = {"starts_at": self.starts_at, "free_until": self.free_until}
        return {
            "month": self.month,
            "currency": self.currency,
            "fees": fees,
            "total_minor": self.total_minor,
            "before_minor": self.before_minor,
            "whole_month_minor": self.whole_month_minor,
            **{name: at.isoformat() for name, at in dated.items() if at is not None},
        }

    @property
    def digest(self) -> str:
        """Return what a page sends back to say which amounts, and which terms, somebody agreed to."""
        return sha256((terms.CURRENT.digest + encode(self.as_json())).encode()).hexdigest()[:32]


def _part(before: Fee | None, after: Fee | None) -> Part:
    known = after or before
    assert known is not None
    days = abs((after.days if after else 0) - (before.days if before else 0))
    amount_minor = (after.amount_minor if after else 0) - (before.amount_minor if before else 0)
    return Part(known.name, days, known.of_days, amount_minor)


def money_of_start(
    plan: Plan, *, at: datetime, team: Team | None = None, environment: str = Environment.PRODUCTION
) -> Money:
    """Work out what the fees of this month are when a subscription starts now; with ``team`` its trial counts."""
    new = Subscription(plan_id=plan.pk, starts_at=at)
    free_until = None
    if team is not None:
        free_until = trials.end_of(plan, organization_id=team.organization_id, environment=environment, at=at)
    free = [Free.of_trial(at, free_until)] if free_until else []
    fees = _fees(new, (), free=free, plans=[plan], month=month_of(at))
    return Money(
        month_of(at).name, plan.currency, tuple(fees), (), fee_of_month(plan, at=at), None, free_until
    )


def money_of_change(subscription: Subscription, plan: Plan, *, at: datetime, when: str = NOW) -> Money:
    """Work out the fees of this month when a subscription moves to another plan, now or when the month ends.

    A trial ends when the plan is changed.
    """
    assert subscription.plan_id is not None
    history = _History.of(subscription, at=at)
    before = history.fees(subscription)
    if when == PERIOD_END:
        after, starts_at = before, month_of(at).ends_at
    else:
        moved = copy(subscription)
        moved.plan_id = plan.pk
        change = PlanChange(at, subscription.plan_id)
        after, starts_at = history.fees(moved, change=change, plan=plan, until=at), None
    return _money(plan, after, before, fee_of_month(plan, at=at), starts_at=starts_at, at=at)


def money_of_cancel(subscription: Subscription, *, at: datetime, when: str = NOW) -> Money:
    """Work out the fees of this month when a subscription ends, now or when the month ends."""
    assert subscription.plan is not None
    history = _History.of(subscription, at=at)
    before = history.fees(subscription)
    if when == PERIOD_END:
        return _money(subscription.plan, before, before, 0, starts_at=month_of(at).ends_at, at=at)
    ended = copy(subscription)
    ended.ends_at = at
    after = history.fees(ended, until=at)
    return _money(subscription.plan, after, before, 0, starts_at=None, at=at)


def money_of_month(subscription: Subscription, *, at: datetime) -> Money:
    """Work out the fees of this month as things stand, and of a month after."""
    assert subscription.plan is not None
    fees = _History.of(subscription, at=at).fees(subscription)
    whole_minor = fee_of_month(subscription.plan, at=at)
    return _money(subscription.plan, fees, fees, whole_minor, starts_at=None, at=at)


def is_downgrade(old: Plan, new: Plan, *, at: datetime) -> bool:
    """Tell whether a change is one for less: a lower fee, or for the same fee fewer calls."""
    was, will_be = fee_of_month(old, at=at), fee_of_month(new, at=at)
    return will_be < was or (will_be == was and new.monthly_calls_limit < old.monthly_calls_limit)


def usual_time(old: Plan, new: Plan, *, at: datetime) -> str:
    """Say when a change is made unless somebody chooses: a downgrade when the month ends, any other at once."""
    return PERIOD_END if is_downgrade(old, new, at=at) else NOW


def fee_of_month(plan: Plan, *, at: datetime) -> int:
    """Give the fee of a plan for the whole of a month, in minor units."""
    month = month_of(at)
    return _fee(plan, month, month).amount_minor


@dataclass(frozen=True)
class _History:
    """What is known of a subscription's month: its changes of plan, its free days, and the plans that it was on."""

    month: Period
    changes: Sequence[PlanChange]
    free: Sequence[Free]
    plans: Mapping[int, Plan]

    @classmethod
    def of(cls, subscription: Subscription, *, at: datetime) -> "_History":
        month, key = month_of(at), str(subscription.pk)
        changes = changes_since(month.starts_at).get(key, [])
        free = free_days_since(month.starts_at, of=subscription).get(key, [])
        plan_ids = {change.old_plan_id for change in changes} | {subscription.plan_id}
        return cls(month, changes, free, Plan.objects.in_bulk([one for one in plan_ids if one]))

    def fees(
        self,
        subscription: Subscription,
        *,
        change: PlanChange | None = None,
        plan: Plan | None = None,
        until: datetime = NEVER,
    ) -> list[Fee]:
        """Give the fees of the month; with a change that is only thought of, and a trial or pause that ends by it."""
        changes = [*self.changes, *([change] if change else [])]
        plans = [*self.plans.values(), *([plan] if plan else [])]
        free = [one.until(until) for one in self.free]
        return _fees(subscription, changes, free=free, plans=plans, month=self.month)


def _money(
    plan: Plan,
    fees: Iterable[Fee],
    before: Iterable[Fee],
    whole_month_minor: int,
    *,
    starts_at: datetime | None,
    at: datetime,
) -> Money:
    month = month_of(at).name
    return Money(month, plan.currency, tuple(fees), tuple(before), whole_month_minor, starts_at)


def _fees(
    subscription: Subscription,
    changes: Sequence[PlanChange],
    *,
    free: Sequence[Free],
    plans: Iterable[Plan],
    month: Period,
) -> list[Fee]:
    by_id: Mapping[int, Plan] = {plan.pk: plan for plan in plans}
    periods = plan_periods(subscription, month, changes, free)
    return [_fee(by_id[plan_id], active, month) for plan_id, active in periods.items()]


def _fee(plan: Plan, active: Period, month: Period) -> Fee:
    charges = parse_charges(plan.charges) if plan.charges else ()
    flat = [charge for charge in charges if not charge.shape.is_metered]
    priced = quote(flat, currency=plan.currency, usage={}, period=month, active=active)
    days = Proration.between(active, month)
    return Fee(plan.pk, plan.name, days.days, days.of_days, priced.total_minor)
