"""Setting the budget of a cost center or team: the limit of its cost per month, with a history and people who are told."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import cast

from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.periods import Window, window_bounds
from quotas import limits
from quotas.budget_history import OWNER_KINDS, budget_limits
from quotas.budget_models import Budget, BudgetVersion
from quotas.limits import Right, Terms
from quotas.models import Limit
from quotas.owners import Owner, owner_of

RELATED = (
    "cost_center__organization",
    "cost_center__owner",
    "team__organization",
    "team__cost_center__owner",
)
MOST_THRESHOLDS = 10


class NoBudgetInForce(Conflict):
    """The budget has ended, or does not begin until later."""

    code = "no_budget_in_force"

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        super().__init__(f"There is no {budget} in force at the moment.")


def set_budget(
    owner: Owner,
    *,
    amount: Decimal,
    currency: str,
    by: Actor,
    at: datetime,
    mode: str = Limit.Mode.HARD,
    starts_at: datetime | None = None,
    thresholds: Sequence[int] | None = None,
    reason: str = "",
) -> Budget:
    """Say what a cost center or team may spend a month, from now on or from the first of a later month on.

    A change keeps what is spent of the month. One for later leaves the present budget until then, and takes the place
    of another one that was to come. Raises InvalidInput, and NotAllowed for who may not set limits of this owner.
    """
    if owner.kind not in OWNER_KINDS:
        raise InvalidInput("owner.kind", f"{owner.kind!r} has no budget; {' and '.join(OWNER_KINDS)} have")
    if mode not in (Limit.Mode.HARD, Limit.Mode.SOFT):
        raise InvalidInput("mode", f"{mode!r} is not one of hard, soft")
    if thresholds is not None:
        check_thresholds(thresholds)
    is_later = starts_at is not None and starts_at > at
    if is_later:
        _require_first_of_month(cast(datetime, starts_at))
    terms = Terms("cost", "month", amount, mode, currency)
    with transaction.atomic():
        # Whoever sets limits of this owner takes turns on its row, as ``limits.set_limit`` does.
        type(owner.instance).objects.select_for_update(no_key=True).get(pk=owner.pk)
        coming = _coming(owner, at=at)
        if is_later and coming is not None:
            limits.end_limit(coming, owner=owner, by=by, at=at, reason="replaced before it began")
        limits.set_limit(
            owner,
            terms=terms,
            by=by,
            at=at,
            starts_at=starts_at if is_later else None,
            note=reason[:200],
        )
        budget = Budget.objects.get(**{f"{owner.kind}_id": owner.pk})
        if thresholds is not None:
            _change_thresholds(budget, thresholds, by=by, at=at)
    return budget


def set_thresholds(budget: Budget, *, thresholds: Sequence[int], by: Actor, at: datetime) -> None:
    """Say at how many percent the owner and finance are told. Raises InvalidInput and NotAllowed."""
    check_thresholds(thresholds)
    access.require(
        may_tend(budget, actor=by),
        message="Thresholds are for the owner of the budget, finance and operators.",
    )
    with transaction.atomic():
        Budget.objects.select_for_update(no_key=True).get(pk=budget.pk)
        _change_thresholds(budget, thresholds, by=by, at=at)


def check_thresholds(thresholds: Sequence[int]) -> None:
    """Raise InvalidInput unless these are a few different percentages."""
    if not all(1 <= one <= 100 for one in thresholds):
        raise InvalidInput("thresholds", "are whole percentages from 1 to 100", limit=100)
    if len(set(thresholds)) != len(thresholds) or len(thresholds) > MOST_THRESHOLDS:
        raise InvalidInput(
            "thresholds", f"are at most {MOST_THRESHOLDS} different ones", limit=MOST_THRESHOLDS
        )


def visible_budgets(actor: Actor) -> QuerySet[Budget]:
    """Budgets somebody may see: finance and operators those they serve, owners their own, people that of their team."""
    budgets = Budget.objects.select_related(*RELATED)
    if actor.is_platform(*PLATFORM_ROLES):
        return budgets
    served = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    return budgets.filter(
        Q(cost_center__owner=actor.user)
        | Q(cost_center__organization__in=served)
        | Q(team__in=actor.team_ids)
        | Q(team__cost_center__owner=actor.user)
        | Q(team__organization__in=served)
    )


def of_mode(budgets: QuerySet[Budget], mode: str, *, at: datetime) -> QuerySet[Budget]:
    """Keep budgets whose limit of this time is of a mode."""
    limits = in_force(at=at).filter(mode=mode)
    of_cost_centers = limits.filter(cost_center__isnull=False).values("cost_center")
    of_teams = limits.filter(team__isnull=False).values("team")
    return budgets.filter(Q(cost_center__in=of_cost_centers) | Q(team__in=of_teams))


def settable_owners(actor: Actor) -> list[Owner]:
    """Return the cost centers and teams whose budget somebody may set, by name (two queries)."""
    organizations = actor.organizations_as(Role.FINANCE, Role.OPERATOR)
    of_all = actor.is_platform(Role.FINANCE, Role.OPERATOR)
    found = [
        owner_of(kind, one)
        for kind, narrowed in (("cost_center", access.cost_centers), ("team", access.teams))
        for one in narrowed(actor)
        if of_all or one.organization_id in organizations
    ]
    return sorted(found, key=lambda one: (one.instance.organization.name, one.kind, one.label))


def owner_of_budget(budget: Budget) -> Owner:
    """Return whose budget it is; no query when it came with RELATED."""
    return owner_of(budget.owner_kind, budget.team or budget.cost_center)  # type: ignore[arg-type]


def who_answers(budget: Budget) -> User:
    """Return the person who answers for a budget: the owner of the cost center, or of that of the team."""
    cost_center = budget.team.cost_center if budget.team else budget.cost_center
    assert cost_center is not None  # constraint budget_has_one_owner
    return cost_center.owner


def finance_of(organization_id: int) -> list[User]:
    """Return the finance people of an organization; of one that has none, those of the platform, who act for it."""
    own = User.objects.filter(
        memberships__organization=organization_id, memberships__role=Role.FINANCE, is_active=True
    )
    return list(own.distinct()) or list(access.platform_people(Role.FINANCE))


def present_version(budget: Budget, *, at: datetime) -> BudgetVersion | None:
    """Return what a budget was, is or will be at a time (one query)."""
    holds = Q(starts_at__lte=at) & (Q(ends_at=None) | Q(ends_at__gt=at))
    return budget.versions.filter(holds).first()


def may_set(budget: Budget, *, actor: Actor) -> bool:
    """Tell whether this person may say how much the budget is."""
    return limits.right_of(actor, owner_of_budget(budget)) is Right.SET


def may_tend(budget: Budget, *, actor: Actor) -> bool:
    """Tell whether this person may say at how many percent people are told."""
    return who_answers(budget).pk == actor.user.pk or may_set(budget, actor=actor)


def in_force(*, at: datetime) -> QuerySet[Limit]:
    """Return the limits of all budgets in force at a time."""
    return Limit.objects.filter(budget_limits(), Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)


def _coming(owner: Owner, *, at: datetime) -> Limit | None:
    """Return the budget that was decided for later; None when there is none."""
    later = Limit.objects.filter(
        budget_limits(),
        Q(ends_at=None) | Q(ends_at__gt=at),
        **{f"{owner.kind}_id": owner.pk},
        starts_at__gt=at,
    )
    return next((one for one in later.order_by("starts_at") if one.ends_at != one.starts_at), None)


def _require_first_of_month(starts_at: datetime) -> None:
    if window_bounds(starts_at, cast(Window, Limit.Window.MONTH))[0] != starts_at:
        raise InvalidInput("starts_at", "A budget begins now, or with the first of a month (in UTC).")


def _change_thresholds(budget: Budget, thresholds: Sequence[int], *, by: Actor, at: datetime) -> None:
    old, new = budget.thresholds, sorted(thresholds)
    if old == new:
        return
    Budget.objects.filter(pk=budget.pk).update(thresholds=new)
    budget.thresholds = new
    audit.record(
        "quotas.budget.thresholds",
        subject=budget,
        at=at,
        by=by.user,
        old={"thresholds": old},
        new={"thresholds": new},
    )
