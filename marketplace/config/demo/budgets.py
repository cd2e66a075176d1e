"""The story of the budgets: what they were before, a part that was moved, one that is offered, who was told of what."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from random import Random

from django.urls import reverse

from marketplace.config.demo.chronicle import Chronicle, dated_id
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.money import to_text
from marketplace.core.notice_kinds import Kind as NoticeKind
from quotas import limit_alerts
from quotas.budget_history import budget_limits, follow
from quotas.budget_models import Budget, BudgetMove, BudgetVersion, LimitWatch
from quotas.models import Limit

MOVED_DAYS_AGO = 12
OFFERED_DAYS_AGO = 1
# From which to which cost center, and why.
MOVED = ("CC-200", "CC-400", "Fewer trips this autumn; sales has two fairs.")
OFFERED = ("CC-600", "CC-500", "The contract reader now runs for legal, no longer for us.")


@dataclass
class _Side:
    """A budget with the limit that enforces it."""

    budget: Budget
    limit: Limit


def tell_story(cast: Cast, timeline: Timeline, chronicle: Chronicle) -> None:
    """Write the history of every budget there is, two moves, alerts, and what people were told of."""
    rng = Random(timeline.seed)
    sides = _begin(timeline, rng)
    centers = {code: one for (organization, code), one in cast.cost_centers.items() if organization == "demo"}
    by_code = {
        code: sides["cost_center", one.pk]
        for code, one in centers.items()
        if ("cost_center", one.pk) in sides
    }
    _move(by_code, timeline, chronicle, rng)
    _offer(by_code, timeline, chronicle, rng)
    of_team = sides["team", cast.teams["team-ops"].pk]
    LimitWatch.objects.create(
        person=cast.person("consumer"), budget=of_team.budget, percent=30, created_at=timeline.ago(8)
    )
    limit_alerts.tell(at=timeline.at)


def _begin(timeline: Timeline, rng: Random) -> dict[tuple[str, int], _Side]:
    found = {}
    for limit in Limit.objects.filter(budget_limits()).order_by("pk"):
        owner = {f"{limit.owner_kind}_id": limit.owner_id}
        budget = Budget.objects.create(
            id=dated_id(timeline.starts_at, rng), created_at=timeline.starts_at, **owner
        )
        follow(limit, by=limit.created_by, at=timeline.starts_at, reason=limit.note)
        found[budget.owner_key] = _Side(budget, limit)
    return found


def _part(side: _Side) -> Decimal:
    """A twentieth of a budget, in whole units: small enough for what is spent, however much that is."""
    return max(Decimal(1), (side.limit.limit_value / 20).quantize(Decimal(1), rounding=ROUND_CEILING))


def _move(by_code: dict[str, _Side], timeline: Timeline, chronicle: Chronicle, rng: Random) -> None:
    """Write a move that was accepted: what both budgets are now is what it left."""
    giver, taker = by_code[MOVED[0]], by_code[MOVED[1]]
    amount = _part(giver)
    offered_at, at = timeline.ago(MOVED_DAYS_AGO, 9, 5), timeline.ago(MOVED_DAYS_AGO, 15, 40)
    giving, taking = giver.budget.cost_center, taker.budget.cost_center
    assert giving is not None
    assert taking is not None
    move = BudgetMove.objects.create(
        id=dated_id(offered_at, rng),
        from_budget=giver.budget,
        to_budget=taker.budget,
        amount=amount,
        currency=giver.limit.currency,
        reason=MOVED[2],
        state=BudgetMove.State.ACCEPTED,
        offered_by=giving.owner,
        offered_at=offered_at,
        decided_by=taking.owner,
        decided_at=at,
        note="Thank you.",
        from_before=giver.limit.limit_value + amount,
        from_after=giver.limit.limit_value,
        to_before=taker.limit.limit_value - amount,
        to_after=taker.limit.limit_value,
    )
    for side, before, by in (
        (giver, move.from_before, taking.owner),
        (taker, move.to_before, taking.owner),
    ):
        newest = BudgetVersion.objects.get(budget=side.budget)
        BudgetVersion.objects.filter(pk=newest.pk).update(amount=before, ends_at=at)
        BudgetVersion.objects.create(
            budget=side.budget, limit=side.limit, amount=side.limit.limit_value, currency=side.limit.currency,
            mode=side.limit.mode, starts_at=at, made_by=by, made_at=at, reason=move.reason, move=move,
        )  # fmt: skip
    chronicle.note(
        "quotas.budget_move.offered", move, at=offered_at, by=giving.owner,
        new={"amount": to_text(amount), "from": str(giver.budget), "to": str(taker.budget)}, reason=move.reason,
    )  # fmt: skip
    chronicle.moved(
        "quotas.budget_move.accepted",
        move,
        states=("offered", "accepted"),
        at=at,
        by=taking.owner,
        reason=move.note,
    )


def _offer(by_code: dict[str, _Side], timeline: Timeline, chronicle: Chronicle, rng: Random) -> None:
    """Write an offer that waits for finance, who answers for the other budget."""
    giver, taker = by_code[OFFERED[0]], by_code[OFFERED[1]]
    at = timeline.ago(OFFERED_DAYS_AGO, 10, 20)
    giving, taking = giver.budget.cost_center, taker.budget.cost_center
    assert giving is not None
    assert taking is not None
    move = BudgetMove.objects.create(
        id=dated_id(at, rng), from_budget=giver.budget, to_budget=taker.budget, amount=_part(giver),
        currency=giver.limit.currency, reason=OFFERED[2], offered_by=giving.owner, offered_at=at,
    )  # fmt: skip
    chronicle.note(
        "quotas.budget_move.offered", move, at=at, by=giving.owner,
        new={"amount": to_text(move.amount), "from": str(giver.budget), "to": str(taker.budget)}, reason=move.reason,
    )  # fmt: skip
    chronicle.tell(
        [taking.owner],
        f"{to_text(move.amount)} {move.currency} a month are offered to the {taker.budget}. They wait for your consent.",
        at=at,
        path=reverse("quotas:budget-move", args=[move.pk]),
        key=f"budget-move:{move.pk}:offered",
        kind=NoticeKind.LIMITS,
    )
