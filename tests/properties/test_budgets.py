"""Laws of budgets: moves conserve, nothing is below what is taken, and every threshold is told once whatever comes when."""

from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.accounts.access import actor_for
from marketplace.core.errors import Conflict
from quotas import budget_moves
from quotas.budget_models import Budget, BudgetVersion, LimitAlert
from quotas.limit_alerts import passed_percents, tell
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.budget_world import BudgetWorld, limit_of, make_budget_world, spend

cents = st.integers(1, 90_000).map(lambda value: Decimal(value) / 100)
places = st.integers(0, 2)
steps = st.lists(
    st.tuples(places, places, cents, st.sampled_from(["accept", "decline", "withdraw", "leave"])), max_size=8
)


@pytest.mark.django_db
class TestMoves:
    def test_conserve_and_stay_above_what_is_taken(self, cast: Cast) -> None:
        there = make_budget_world(cast)
        budgets = [there.marketing_budget, there.sales_budget, there.team_budget]
        owners = [actor_for(person) for person in (there.giver, there.taker, cast.finance)]

        @settings(max_examples=settings.default.max_examples // 2, deadline=None)
        @given(st.lists(cents, min_size=3, max_size=3), steps)
        def law(taken: list[Decimal], moves: list[tuple[int, int, Decimal, str]]) -> None:
            with transaction.atomic():
                for budget, amount in zip(budgets, taken, strict=True):
                    spend(budget, str(min(amount, limit_of(budget).limit_value)))
                for giver, taker, amount, decision in moves:
                    _decide(budgets, owners, giver, taker, amount, decision)
                values = [limit_of(budget).limit_value for budget in budgets]
                assert sum(values) == 1600
                for budget, value in zip(budgets, values, strict=True):
                    assert value >= limit_of(budget).counters.get().spent
                    # The history ends with what is in force.
                    newest = BudgetVersion.objects.filter(budget=budget).latest("pk")
                    assert (newest.amount, newest.ends_at) == (value, None)
                transaction.set_rollback(True)

        law()


def _decide(
    budgets: list[Budget], owners: list, giver: int, taker: int, amount: Decimal, decision: str
) -> None:  # type: ignore[type-arg]
    if giver == taker:
        return
    try:
        move = budget_moves.offer(
            budgets[giver], to_budget=budgets[taker], amount=amount, reason="law", by=owners[giver], at=NOW
        )
        if decision == "withdraw":
            budget_moves.withdraw(move, by=owners[giver], at=NOW)
        elif decision != "leave":
            getattr(budget_moves, decision)(move, by=owners[taker], at=NOW)
    except Conflict:
        pass


@pytest.mark.django_db
class TestThresholds:
    def test_are_told_once_in_any_order_of_usage(self, cast: Cast) -> None:
        there: BudgetWorld = make_budget_world(cast)
        budget = there.marketing_budget
        limit = limit_of(budget)

        @settings(max_examples=settings.default.max_examples // 2, deadline=None)
        @given(st.lists(st.tuples(cents, st.booleans()), min_size=1, max_size=8))
        def law(uses: list[tuple[Decimal, bool]]) -> None:
            with transaction.atomic():
                used, told, seen = Decimal(0), 0, Decimal(0)
                for amount, is_told in uses:
                    used += amount
                    spend(budget, str(min(used, Decimal(1000))), overrun=str(max(used - 1000, Decimal(0))))
                    if is_told:
                        told, seen = told + tell(at=NOW), used
                rows = list(LimitAlert.objects.filter(limit=limit).values_list("percent", flat=True))
                assert sorted(rows) == list(passed_percents(seen, Decimal(1000), budget.thresholds))
                assert told == len(rows)
                transaction.set_rollback(True)

        law()
