"""What people vouch for in a close: that provider bills are accepted as they are, and that the month is right."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.chargeback.statements import is_current
from billing.closing.reconciling import state_of
from billing.models import BillingPeriod, StepMark
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, NotAllowed
from marketplace.core.proposing import require_reason

Step = StepMark.Step


class MarkedAlready(Conflict):
    """A step is vouched for once."""

    code = "step_marked_already"

    def __init__(self, period: BillingPeriod, step: str) -> None:
        super().__init__(f"{period.name} is {step} already.")


class StepsMissing(Conflict):
    """A month is approved when everything before that is done."""

    code = "steps_missing"

    def __init__(self, missing: str) -> None:
        super().__init__(f"Before a month is approved: {missing}")


class ClosedByYourself(NotAllowed):
    """Whoever closed a month does not approve it."""

    code = "closed_by_yourself"

    def __init__(self) -> None:
        super().__init__("You closed this month. A second person of finance approves it.")


def accept_unreconciled(period: BillingPeriod, *, reason: str, by: Actor, at: datetime) -> StepMark:
    """Accept a month without a provider's bill to compare it with. Raises NotAllowed, InvalidInput, MarkedAlready."""
    access.require_platform(by, Role.FINANCE)
    reason = require_reason(reason)[:300]
    return _mark(period, Step.RECONCILED, reason=reason, by=by, at=at)


def approve(period: BillingPeriod, *, note: str, by: Actor, at: datetime) -> StepMark:
    """Approve a closed, allocated and reconciled month; not who closed it.

    Raises NotAllowed, ClosedByYourself, StepsMissing, MarkedAlready.
    """
    access.require_platform(by, Role.FINANCE)
    if period.closed_by_id == by.user.pk:
        raise ClosedByYourself
    if period.state != BillingPeriod.State.CLOSED:
        raise StepsMissing("close it.")
    if not is_current(period.name):
        raise StepsMissing("allocate it and publish its statements.")
    if not is_reconciled(period):
        raise StepsMissing("reconcile it with the bills of providers, or accept it with a reason.")
    return _mark(period, Step.APPROVED, reason=note.strip()[:300], by=by, at=at)


def is_reconciled(period: BillingPeriod) -> bool:
    """Tell whether a reconciliation says so, or somebody accepted the month without one."""
    found = state_of(period)
    if found is not None and found.is_done:
        return True
    return period.step_marks.filter(step=Step.RECONCILED, ended_at=None).exists()


def _mark(period: BillingPeriod, step: str, *, reason: str, by: Actor, at: datetime) -> StepMark:
    try:
        with transaction.atomic():
            mark = StepMark.objects.create(
                period=period, step=step, reason=reason, made_by=by.user, made_at=at
            )
            audit.record(f"billing.period.{step}", subject=period, at=at, by=by.user, reason=reason)
    except IntegrityError as error:
        raise MarkedAlready(period, step) from error
    return mark


def end_approval(period: BillingPeriod, *, at: datetime) -> None:
    """Let an approval end, because the month is reopened."""
    period.step_marks.filter(step=Step.APPROVED, ended_at=None).update(ended_at=at)
