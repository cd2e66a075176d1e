"""Plans side by side at a number of calls, which of them is cheapest, and what that means for budgets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from billing.estimates import WorkedBill, worked_bills
from billing.pricing import parse_charges
from billing.terms import ShareTerms
from marketplace.accounts.models import CostCenter, Team
from marketplace.catalog.listing_pages import PlanView
from marketplace.catalog.models import App, Environment
from marketplace.core.money import exact
from metering.models import DailyRollup
from quotas import budget_queries, budgets
from quotas.budget_models import Budget

USUAL_CALLS = 1_000
DAYS = 30


@dataclass(frozen=True)
class PlanPrice:
    """A plan with its bill of a month; the cheapest is one that allows so many calls."""

    view: PlanView
    bill: WorkedBill
    is_over_limit: bool
    is_cheapest: bool


@dataclass(frozen=True)
class Expected:
    """How many calls a month are reckoned with; ``is_measured`` when a team made them in the last 30 days."""

    calls: int
    is_measured: bool


@dataclass(frozen=True)
class BudgetEffect:
    """What a month of expected calls takes of a budget, at cost. ``left`` is of the present month."""

    name: str
    amount: Decimal
    used: Decimal
    added: Decimal
    currency: str
    refuses: bool

    @property
    def left(self) -> Decimal:
        with exact():
            return self.amount - self.used

    @property
    def is_beyond(self) -> bool:
        return self.added > self.left


def compare(
    views: Sequence[PlanView], *, calls: int, cost_per_call: Decimal, share: ShareTerms
) -> list[PlanPrice]:
    """Bill a whole month on each plan, in the order given. Plans in several currencies have a cheapest each."""
    bills = [_bill(view, calls=calls, cost_per_call=cost_per_call, share=share) for view in views]
    least: dict[str, int] = {}
    for view, bill in zip(views, bills, strict=True):
        if calls <= view.plan.monthly_calls_limit:
            least[bill.currency] = min(bill.total_minor, least.get(bill.currency, bill.total_minor))
    found = []
    for view, bill in zip(views, bills, strict=True):
        is_over = calls > view.plan.monthly_calls_limit
        is_least = not is_over and bill.total_minor == least.get(bill.currency)
        found.append(PlanPrice(view, bill, is_over, is_cheapest=is_least and len(views) > 1))
    return found


def expected_calls(app: App, team: Team | None, *, at: datetime) -> Expected:
    """Return what a team called an app in the last 30 days outside the sandbox, else a usual number."""
    if team is None:
        return Expected(USUAL_CALLS, is_measured=False)
    since = at.astimezone(UTC).date() - timedelta(days=DAYS - 1)
    used = DailyRollup.objects.filter(day__gte=since, attribution__app=app, attribution__team=team)
    used = used.exclude(attribution__environment=Environment.SANDBOX)
    calls = int(used.aggregate(calls=Sum("requests"))["calls"] or 0)
    return Expected(calls or USUAL_CALLS, is_measured=calls > 0)


def budget_effects(
    *, team: Team, cost_center: CostCenter, added: Decimal, at: datetime, currency: str
) -> list[BudgetEffect]:
    """Say what is left of the budgets that calls of a team on a cost center count against (up to seven queries)."""
    found = list(
        Budget.objects.filter(Q(team=team) | Q(cost_center=cost_center))
        .select_related(*budgets.RELATED)
        .order_by("pk")
    )
    if not found:
        return []
    return [
        BudgetEffect(
            name=str(one.owner.instance),
            amount=one.standing.limit.limit_value,
            used=one.standing.used,
            added=added,
            currency=one.currency,
            refuses=one.standing.limit.mode == "hard",
        )
        for one in budget_queries.standings(found, at=at, currency=currency)
        if one.standing is not None and one.currency == currency
    ]


def _bill(view: PlanView, *, calls: int, cost_per_call: Decimal, share: ShareTerms) -> WorkedBill:
    charges = parse_charges(view.plan.charges) if view.plan.charges else ()
    [bill] = worked_bills(
        charges, cost_per_call=cost_per_call, terms=share, currency=view.plan.currency, calls=[calls]
    )
    return bill
