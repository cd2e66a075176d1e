"""The history of budgets: a budget is the monthly cost limit of a cost center or team, and every change of it is kept."""

from datetime import datetime

from django.db.models import F, Min, Q

from marketplace.accounts.models import User
from quotas.budget_models import Budget, BudgetMove, BudgetVersion
from quotas.models import Limit

OWNER_KINDS = ("cost_center", "team")


def budget_limits() -> Q:
    """Return the condition on limits that are budgets."""
    of_owner = Q(cost_center__isnull=False) | Q(team__isnull=False)
    return of_owner & Q(measure="cost", window="month", environment="", model_class="", is_default=False)


def is_budget(limit: Limit) -> bool:
    """Tell whether a limit is a budget."""
    is_monthly_cost = limit.measure == Limit.Measure.COST and limit.window == Limit.Window.MONTH
    is_set = not limit.environment and not limit.model_class and not limit.is_default
    return is_monthly_cost and is_set and limit.owner_kind in OWNER_KINDS


def follow(
    limit: Limit, *, by: User | None, at: datetime, reason: str = "", move: BudgetMove | None = None
) -> Budget | None:
    """Note what a limit says now as a version of its budget; None when it is no budget.

    Must run in the transaction that changed the limit and holds its row. The first limit makes the budget.
    """
    if not is_budget(limit):
        return None
    owner = {f"{limit.owner_kind}_id": limit.owner_id}
    budget, _ = Budget.objects.get_or_create(**owner, defaults={"created_at": at})
    newest = BudgetVersion.objects.filter(limit=limit).order_by("-pk").first()
    if newest is not None and (newest.amount, newest.mode) == (limit.limit_value, limit.mode):
        ends_at = _end_of(limit, budget, starts_at=newest.starts_at)
        BudgetVersion.objects.filter(pk=newest.pk).update(ends_at=ends_at)
        return budget
    # Clocks of two processes may differ a little: a version never begins before the one it follows.
    starts_at = limit.starts_at if newest is None else max(at, newest.starts_at)
    _end_overlapping(budget, starts_at=starts_at)
    BudgetVersion.objects.create(
        budget=budget,
        limit=limit,
        amount=limit.limit_value,
        currency=limit.currency,
        mode=limit.mode,
        starts_at=starts_at,
        ends_at=_end_of(limit, budget, starts_at=starts_at),
        made_by=by,
        made_at=at,
        reason=reason[:200],
        move=move,
    )
    return budget


def _end_overlapping(budget: Budget, *, starts_at: datetime) -> None:
    """End what is in force where the next one begins; what was still to begin then never does."""
    running = BudgetVersion.objects.filter(Q(ends_at=None) | Q(ends_at__gt=starts_at), budget=budget)
    running.filter(starts_at__lte=starts_at).update(ends_at=starts_at)


def _end_of(limit: Limit, budget: Budget, *, starts_at: datetime) -> datetime | None:
    """Give the end of a version: that of its limit, at the latest where one that was decided for later begins."""
    later = BudgetVersion.objects.exclude(limit=limit).filter(
        Q(ends_at=None) | Q(ends_at__gt=F("starts_at")), budget=budget, starts_at__gt=starts_at
    )
    ends = [limit.ends_at, later.aggregate(first=Min("starts_at"))["first"]]
    return min((one for one in ends if one is not None), default=None)
