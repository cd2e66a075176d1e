"""What a process does that moves budget while others spend it."""

from datetime import datetime
from uuid import UUID

from marketplace.accounts.access import actor_for
from quotas import budget_moves
from quotas.budget_models import BudgetMove
from quotas.budget_moves import BudgetTooSmall
from quotas.budgets import who_answers
from tests.races.calls import Tally


def accept(*, moves: list[UUID], at: datetime) -> Tally:
    """Accept what is offered, as far as it is left; ``admitted`` are the moves that were, ``refused`` counts the others."""
    tally = Tally()
    for move_id in moves:
        move = BudgetMove.objects.select_related(*budget_moves.RELATED, "offered_by").get(pk=move_id)
        try:
            budget_moves.accept(move, by=actor_for(who_answers(move.to_budget)), at=at)
            tally.admitted.append(move_id)
        except BudgetTooSmall:
            tally.refused += 1
    return tally
