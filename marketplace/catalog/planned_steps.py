"""A change of plan or an end that is agreed to now and comes at the end of the month."""

from datetime import datetime

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog.lifecycle_models import PlannedStep
from marketplace.catalog.models import Plan, Subscription
from marketplace.core import audit
from marketplace.core.transitions import move

Step = PlannedStep.Step
State = PlannedStep.State


def waiting(subscription: Subscription) -> PlannedStep | None:
    """Return the step that waits for its day."""
    return subscription.planned_steps.filter(state=State.PLANNED).select_related("plan", "planned_by").first()


def put(
    subscription: Subscription,
    *,
    step: str,
    due_at: datetime,
    by: User,
    at: datetime,
    plan: Plan | None = None,
    reason: str = "",
) -> PlannedStep:
    """Let a step wait for its day, in place of one that waits already, in the caller's transaction.

    Locks the subscription, so that of two at once the later one stays.
    """
    Subscription.objects.select_for_update(of=("self",)).get(pk=subscription.pk)
    call_off_waiting(subscription, by=by, at=at)
    planned = PlannedStep.objects.create(
        subscription=subscription,
        step=step,
        plan=plan,
        due_at=due_at,
        reason=reason,
        planned_by=by,
        planned_at=at,
    )
    new = {"step": step, "plan": plan.pk if plan else None, "due_at": due_at.isoformat()}
    audit.record("catalog.subscription.step_planned", subject=subscription, at=at, by=by, new=new)
    return planned


def call_off(planned: PlannedStep, *, by: User | None, at: datetime) -> None:
    """Let a step that waits not come. Raises IllegalTransition when it was done or called off before."""
    move(
        planned,
        PlannedStep.TRANSITIONS,
        to=State.CALLED_OFF,
        action="catalog.subscription.step_called_off",
        at=at,
        by=by,
        changes={"ended_at": at},
    )


def call_off_waiting(subscription: Subscription, *, by: User | None, at: datetime) -> None:
    """Call off the step that waits, if one does, in the caller's transaction."""
    with transaction.atomic():
        planned = (
            subscription.planned_steps.select_for_update(of=("self",)).filter(state=State.PLANNED).first()
        )
        if planned is not None:
            call_off(planned, by=by, at=at)
