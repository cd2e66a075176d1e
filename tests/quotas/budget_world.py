"""Two cost centers and a team of one company with budgets, each answered for by somebody else."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import CostCenter, User
from quotas import budgets
from quotas.budget_models import Budget
from quotas.models import Limit, LimitCounter
from quotas.owners import owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

MONTH = datetime.fromisoformat("2026-11-01T00:00:00+00:00")
NEXT_MONTH = datetime.fromisoformat("2026-12-01T00:00:00+00:00")


@dataclass(frozen=True)
class BudgetWorld:
    """The marketing cost center has 1,000 a month, sales 400, the team of operations 200; all hard."""

    marketing: CostCenter
    sales: CostCenter
    giver: User
    taker: User
    marketing_budget: Budget
    sales_budget: Budget
    team_budget: Budget


def make_budget_world(cast: Cast) -> BudgetWorld:
    """Let finance set the three budgets on the 1st of November, when nothing is used."""
    giver, taker = factories.make_user("giver@demo.example"), factories.make_user("taker@demo.example")
    marketing = factories.make_cost_center(cast.company, code="CC-700", name="Marketing", owner=giver)
    sales = factories.make_cost_center(cast.company, code="CC-800", name="Sales", owner=taker)
    finance = actor_for(cast.finance)
    return BudgetWorld(
        marketing,
        sales,
        giver,
        taker,
        set_budget(marketing, "1000", by=finance, at=MONTH),
        set_budget(sales, "400", by=finance, at=MONTH),
        set_budget(cast.consumer_team, "200", by=finance, at=MONTH),
    )


def set_budget(instance: Any, amount: str, *, by: Actor, at: datetime = NOW, **fields: Any) -> Budget:
    """Set the budget of a cost center or team, and give it back as pages read it."""
    kind = "cost_center" if isinstance(instance, CostCenter) else "team"
    made = budgets.set_budget(
        owner_of(kind, instance), amount=Decimal(amount), currency="USD", by=by, at=at, **fields
    )
    return Budget.objects.select_related(*budgets.RELATED).get(pk=made.pk)


def limit_of(budget: Budget, *, at: datetime = NOW) -> Limit:
    """Return the limit that enforces a budget."""
    return budgets.in_force(at=at).get(**{f"{budget.owner_kind}_id": budget.owner_pk})


def spend(
    budget: Budget, spent: str, *, held: str = "0", overrun: str = "0", at: datetime = NOW
) -> LimitCounter:
    """Say what is used of a budget in November, as admission writes it."""
    limit = limit_of(budget, at=at)
    counter, _ = LimitCounter.objects.update_or_create(
        limit=limit,
        window_starts_at=MONTH,
        defaults={
            "window_ends_at": NEXT_MONTH,
            "is_hard": limit.mode == "hard",
            "ceiling": max(limit.limit_value, Decimal(spent) + Decimal(held)),
            "spent": Decimal(spent),
            "held": Decimal(held),
            "overrun": Decimal(overrun),
        },
    )
    return counter
