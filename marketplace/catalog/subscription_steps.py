"""Steps of a subscription that are agreed to now and taken at the end of the month."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog import agreements, planned_steps, subscriptions, trials
from marketplace.catalog.lifecycle_models import PlannedStep
from marketplace.catalog.models import Plan, Subscription
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.transitions import IllegalTransition, move


def change_plan_later(
    subscription: Subscription,
    *,
    plan: Plan,
    due_at: datetime,
    by: User,
    at: datetime,
    shown: Mapping[str, Any] | None = None,
) -> PlannedStep:
    """Agree now to another plan from ``due_at`` on; until then nothing changes. Raises what ``change_plan`` raises."""
    if subscription.plan_id == plan.pk:
        raise InvalidInput("plan", "is the plan that it is on.")
    subscriptions.require_change(subscription, plan)
    with transaction.atomic():
        planned = planned_steps.put(
            subscription, step=PlannedStep.Step.CHANGE, plan=plan, due_at=due_at, by=by, at=at
        )
        agreements.keep(subscription, agreements.Step.PLANNED, shown=shown or {}, by=by, at=at)
    return planned


def cancel_later(
    subscription: Subscription,
    *,
    due_at: datetime,
    by: User,
    at: datetime,
    reason: str = "",
    shown: Mapping[str, Any] | None = None,
) -> PlannedStep:
    """Agree now that a subscription ends at ``due_at``; until then it can be called. Raises NotActive when it has ended."""
    if subscription.state == Subscription.State.CANCELED:
        raise subscriptions.NotActive(subscription)
    with transaction.atomic():
        planned = planned_steps.put(
            subscription, step=PlannedStep.Step.CANCEL, due_at=due_at, by=by, at=at, reason=reason
        )
        agreements.keep(subscription, agreements.Step.PLANNED, shown=shown or {}, by=by, at=at)
    return planned


def take_due_steps(*, at: datetime) -> int:
    """Take every planned step whose day has come, as of that day; returns how many. Safe on many workers at once."""
    due = PlannedStep.objects.filter(state=PlannedStep.State.PLANNED, due_at__lte=at).order_by("due_at", "pk")
    return sum(_taken(planned, at=at) for planned in due.select_related("subscription", "plan"))


def _taken(planned: PlannedStep, *, at: datetime) -> bool:
    """Take one step, unless another worker did or somebody called it off meanwhile."""
    subscription, plan = planned.subscription, planned.plan
    with transaction.atomic():
        # Locked in the order in which everybody does: the subscription, then its step.
        Subscription.objects.select_for_update(of=("self",)).get(pk=subscription.pk)
        try:
            move(
                planned,
                PlannedStep.TRANSITIONS,
                to=PlannedStep.State.DONE,
                action="catalog.subscription.step_taken",
                at=at,
                changes={"ended_at": at},
            )
        except IllegalTransition:
            return False
        if plan is None:
            subscriptions.cancel(subscription, by=None, at=planned.due_at, reason=planned.reason)
        else:
            _go_over(subscription, plan, at=planned.due_at)
    return True


def _go_over(subscription: Subscription, plan: Plan, *, at: datetime) -> None:
    """Move to the plan that was agreed to, paused or not; its days count from the day that was agreed."""
    old = subscription.plan_id
    Subscription.objects.filter(pk=subscription.pk).update(plan=plan)
    audit.record(
        "catalog.subscription.plan_changed",
        subject=subscription,
        at=at,
        old={"plan": old},
        new={"plan": plan.pk},
    )
    trials.end(subscription, at=at)
    subscription.plan = plan
