"""Moving budget: the owner of one offers, the owner of the other accepts, and both limits change in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.money import exact, to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.periods import Window, window_bounds
from marketplace.core.transitions import move as move_state
from quotas.budget_history import follow
from quotas.budget_models import Budget, BudgetMove
from quotas.budgets import (
    NoBudgetInForce,
    finance_of,
    in_force,
    owner_of_budget,
    visible_budgets,
    who_answers,
)
from quotas.models import Limit, LimitCounter
from quotas.owners import RELATED as OWNER_RELATED
from quotas.owners import Owner
from quotas.queries import LimitStanding, standing, with_counters

State = BudgetMove.State
RELATED = tuple(
    f"{side}__{one}"
    for side in ("from_budget", "to_budget")
    for one in (
        "cost_center__organization",
        "cost_center__owner",
        "team__organization",
        "team__cost_center__owner",
    )
)


class BudgetTooSmall(Conflict):
    """The giving budget would be less than what is spent and held of it this month."""

    code = "budget_too_small"

    def __init__(self, *, amount: Decimal, taken: Decimal, asked: Decimal, currency: str) -> None:
        self.amount, self.taken, self.asked = amount, taken, asked
        with exact():
            left = to_text(max(Decimal(0), amount - taken))
        super().__init__(
            f"Of {to_text(amount)} {currency} a month, {to_text(taken)} are spent or held: at most {left} can be moved, "
            f"not {to_text(asked)}."
        )


def offer(
    from_budget: Budget, *, to_budget: Budget, amount: Decimal, reason: str, by: Actor, at: datetime
) -> BudgetMove:
    """Offer a part of a budget to another one of the organization; nothing changes until its owner accepts.

    Both come with ``budgets.RELATED``. Raises InvalidInput by field, NotAllowed for who does not answer for the giving
    budget, BudgetTooSmall, and NoBudgetInForce.
    """
    _check(from_budget, to_budget, amount, reason)
    access.require(
        may_offer(from_budget, actor=by), message="Only the owner of a budget offers a part of it to others."
    )
    limits = _limits(in_force(at=at), from_budget, to_budget)
    giving = limits[from_budget.owner_key]
    if limits[to_budget.owner_key].currency != giving.currency:
        raise InvalidInput("to", f"is not in {giving.currency}")
    counters = LimitCounter.objects.filter(limit=giving, window_starts_at__lte=at, window_ends_at__gt=at)
    _require_room(giving, list(counters), amount)
    with transaction.atomic():
        made = BudgetMove.objects.create(
            from_budget=from_budget,
            to_budget=to_budget,
            amount=amount,
            currency=giving.currency,
            reason=reason,
            offered_by=by.user,
            offered_at=at,
        )
        audit.record(
            "quotas.budget_move.offered", subject=made, at=at, by=by.user, reason=reason,
            new={"amount": to_text(amount), "from": str(from_budget), "to": str(to_budget)},
        )  # fmt: skip
        text = f"{to_text(amount)} {made.currency} a month are offered to the {to_budget}. They wait for your consent."
        notify(
            [who_answers(to_budget)],
            text=text,
            at=at,
            key=f"budget-move:{made.pk}:offered",
            path=_path(made),
            kind=Kind.LIMITS,
        )
    return made


def accept(move: BudgetMove, *, by: Actor, at: datetime, note: str = "") -> None:
    """Take what is offered: both limits change in one transaction, and admission never holds more than what is left.

    Raises NotAllowed, IllegalTransition when it was decided before, BudgetTooSmall when less is left by now, and
    NoBudgetInForce. Locks both limits, then their counters of this month, each in order of their keys.
    """
    access.require(may_accept(move, actor=by), message="Only the owner of the budget that gets it accepts.")
    with transaction.atomic():
        locked = in_force(at=at).select_for_update(no_key=True).order_by("pk")
        limits = _limits(locked, move.from_budget, move.to_budget)
        giving, taking = limits[move.from_budget.owner_key], limits[move.to_budget.owner_key]
        counters = _lock_counters((giving, taking), at=at)
        _require_room(giving, [one for one in counters if one.limit_id == giving.pk], move.amount)
        with exact():
            after = {giving.pk: giving.limit_value - move.amount, taking.pk: taking.limit_value + move.amount}
        move_state(
            move,
            BudgetMove.TRANSITIONS,
            to=State.ACCEPTED,
            action="quotas.budget_move.accepted",
            at=at,
            by=by.user,
            reason=note,
            changes={
                "decided_by": by.user,
                "decided_at": at,
                "note": note,
                "from_before": giving.limit_value,
                "from_after": after[giving.pk],
                "to_before": taking.limit_value,
                "to_after": after[taking.pk],
            },
        )
        for limit in (giving, taking):
            _change(limit, value=after[limit.pk], move=move, by=by, at=at)
        _fit_ceilings(counters, after)
        _tell_of_decision(move, "is accepted", by=by, at=at)


def decline(move: BudgetMove, *, by: Actor, at: datetime, note: str = "") -> None:
    """Refuse what is offered. Raises NotAllowed, and IllegalTransition when it was decided before."""
    access.require(may_accept(move, actor=by), message="Only the owner of the budget that gets it declines.")
    _end(move, State.DECLINED, by=by, at=at, note=note)


def withdraw(move: BudgetMove, *, by: Actor, at: datetime, note: str = "") -> None:
    """Take an offer back. Raises NotAllowed, and IllegalTransition when it was decided before."""
    access.require(may_withdraw(move, actor=by), message="Only who offered it, or the owner, takes it back.")
    _end(move, State.WITHDRAWN, by=by, at=at, note=note)


def may_offer(budget: Budget, *, actor: Actor) -> bool:
    """Tell whether this person answers for the budget."""
    return who_answers(budget).pk == actor.user.pk


def may_accept(move: BudgetMove, *, actor: Actor) -> bool:
    """Tell whether this person answers for the budget that gets something."""
    return who_answers(move.to_budget).pk == actor.user.pk


def may_withdraw(move: BudgetMove, *, actor: Actor) -> bool:
    """Tell whether this person offered it or answers for the budget that gives."""
    return actor.user.pk in (move.offered_by_id, who_answers(move.from_budget).pk)


def visible_moves(actor: Actor) -> QuerySet[BudgetMove]:
    """Moves from or to budgets that somebody may see."""
    seen = visible_budgets(actor).order_by().values("pk")
    moves = BudgetMove.objects.select_related(*RELATED, "offered_by", "decided_by")
    return moves.filter(Q(from_budget__in=seen) | Q(to_budget__in=seen))


def moves_of(budget: Budget) -> QuerySet[BudgetMove]:
    """Return the moves from and to a budget, the newest first."""
    moves = BudgetMove.objects.select_related(*RELATED, "offered_by")
    return moves.filter(Q(from_budget=budget) | Q(to_budget=budget)).order_by("-offered_at", "-pk")


def standing_of(budget: Budget, *, at: datetime) -> LimitStanding | None:
    """Return where the limit of a budget stands; None when none is in force (one query)."""
    limits = in_force(at=at).filter(**{f"{budget.owner_kind}_id": budget.owner_pk})
    found = with_counters(limits, at=at).select_related(*OWNER_RELATED).first()
    return standing(found, at=at) if found else None


@dataclass(frozen=True)
class Change:
    """What a move changes of one budget; ``taken`` is what is spent and held of it, None of a move that was decided."""

    budget: Budget
    owner: Owner
    before: Decimal | None
    after: Decimal | None
    taken: Decimal | None = None


def changes_of(move: BudgetMove, *, at: datetime) -> list[Change]:
    """Say what a move changed, or would change as things stand (at most two queries)."""
    giver, taker = owner_of_budget(move.from_budget), owner_of_budget(move.to_budget)
    if move.state != State.OFFERED:
        return [
            Change(move.from_budget, giver, move.from_before, move.from_after),
            Change(move.to_budget, taker, move.to_before, move.to_after),
        ]
    found = []
    for budget, owner, sign in ((move.from_budget, giver, -1), (move.to_budget, taker, 1)):
        one = standing_of(budget, at=at)
        if one is None:
            found.append(Change(budget, owner, None, None))
            continue
        with exact():
            found.append(
                Change(
                    budget,
                    owner,
                    one.limit.limit_value,
                    one.limit.limit_value + sign * move.amount,
                    one.taken,
                )
            )
    return found


def takers(budget: Budget) -> QuerySet[Budget]:
    """Return the other budgets of the same organization: whom something can be moved to."""
    organization = owner_of_budget(budget).organization_id
    others = Budget.objects.select_related("cost_center__organization", "team__organization").exclude(
        pk=budget.pk
    )
    return others.filter(Q(cost_center__organization=organization) | Q(team__organization=organization))


def _check(from_budget: Budget, to_budget: Budget, amount: Decimal, reason: str) -> None:
    errors = []
    if amount <= 0:
        errors.append(FieldError("amount", "must be above zero", limit="0"))
    if from_budget.pk == to_budget.pk:
        errors.append(FieldError("to", "is the budget that it comes from"))
    elif owner_of_budget(from_budget).organization_id != owner_of_budget(to_budget).organization_id:
        errors.append(FieldError("to", "is of another organization"))
    if not reason.strip() or len(reason) > 500:
        errors.append(FieldError("reason", "Say in up to 500 characters why: both owners read it."))
    if errors:
        raise InvalidInput.several(errors)


def _limits(found: QuerySet[Limit], *budgets: Budget) -> Mapping[tuple[str, int], Limit]:
    """Return the limit of each budget by its owner. Raises NoBudgetInForce."""
    of_any = Q()
    for budget in budgets:
        of_any |= Q(**{f"{budget.owner_kind}_id": budget.owner_pk})
    limits = {(limit.owner_kind, limit.owner_id): limit for limit in found.filter(of_any)}
    for budget in budgets:
        if budget.owner_key not in limits:
            raise NoBudgetInForce(budget)
    return limits


def _lock_counters(limits: tuple[Limit, ...], *, at: datetime) -> list[LimitCounter]:
    """Make the counters of this month that are missing, then lock all: admission waits, and sees the new limits after."""
    made = []
    for limit in sorted(limits, key=lambda one: one.pk):
        starts_at, ends_at = window_bounds(at, cast(Window, limit.window), limit.time_zone)
        defaults = {
            "window_ends_at": ends_at,
            "is_hard": limit.mode == Limit.Mode.HARD,
            "ceiling": limit.limit_value,
        }
        counter, _ = LimitCounter.objects.get_or_create(
            limit=limit, window_starts_at=starts_at, defaults=defaults
        )
        made.append(counter.pk)
    return list(LimitCounter.objects.select_for_update(no_key=True).filter(pk__in=made).order_by("pk"))


def _require_room(giving: Limit, counters: list[LimitCounter], amount: Decimal) -> None:
    with exact():
        taken = sum((one.spent + one.held + one.overrun for one in counters), Decimal(0))
        if giving.limit_value - amount < taken or amount > giving.limit_value:
            raise BudgetTooSmall(
                amount=giving.limit_value, taken=taken, asked=amount, currency=giving.currency
            )


def _change(limit: Limit, *, value: Decimal, move: BudgetMove, by: Actor, at: datetime) -> None:
    old = to_text(limit.limit_value)
    limit.limit_value = value
    limit.save(update_fields=["limit_value"])
    audit.record(
        "quotas.limit.changed", subject=limit, at=at, by=by.user, old={"limit": old}, new={"limit": to_text(value)},
        reason=f"budget move {move.pk}",
    )  # fmt: skip
    follow(limit, by=by.user, at=at, reason=move.reason, move=move)


def _fit_ceilings(counters: list[LimitCounter], values: Mapping[int, Decimal]) -> None:
    for counter in counters:
        with exact():
            ceiling = max(values[counter.limit_id], counter.spent + counter.held)
        LimitCounter.objects.filter(pk=counter.pk).update(ceiling=ceiling)


def _end(move: BudgetMove, to: State, *, by: Actor, at: datetime, note: str) -> None:
    with transaction.atomic():
        move_state(
            move,
            BudgetMove.TRANSITIONS,
            to=to,
            action=f"quotas.budget_move.{to.value}",
            at=at,
            by=by.user,
            reason=note,
            changes={"decided_by": by.user, "decided_at": at, "note": note},
        )
        _tell_of_decision(move, f"is {to.value}", by=by, at=at)


def _tell_of_decision(move: BudgetMove, what: str, *, by: Actor, at: datetime) -> None:
    """Tell both owners, who offered it, and finance, but whoever decided."""
    concerned = {who_answers(move.from_budget), who_answers(move.to_budget), move.offered_by}
    concerned |= {*finance_of(owner_of_budget(move.from_budget).organization_id)}
    text = f"The move of {to_text(move.amount)} {move.currency} a month to the {move.to_budget} {what}."
    others = [person for person in concerned if person.pk != by.user.pk]
    notify(
        others,
        text=text,
        at=at,
        key=f"budget-move:{move.pk}:{move.state}",
        path=_path(move),
        kind=Kind.LIMITS,
    )


def _path(move: BudgetMove) -> str:
    return reverse("quotas:budget-move", args=[move.pk])
