"""Pages of moving budget: offering a part of it, and deciding on an offer."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from quotas import budget_moves, budgets
from quotas.budget_models import Budget, BudgetMove
from quotas.budgeting.forms import MoveForm, NoteForm, tell_refusal


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def offer(request: PersonRequest, budget_id: UUID) -> HttpResponse:
    """Show the form to offer a part of a budget; a POST offers it."""
    one = access.get(budgets.visible_budgets(request.actor), pk=budget_id)
    access.require(
        budget_moves.may_offer(one, actor=request.actor),
        message="Only the owner of a budget offers a part of it to others.",
    )
    now = timezone.now()
    form = MoveForm(request.POST or None, takers=list(budget_moves.takers(one)))
    if form.is_valid() and (made := _offered(request, one, form)):
        messages.success(request, "It is offered. It changes nothing until the other owner accepts.")
        return redirect("quotas:budget-move", made.pk)
    context = {
        "form": form,
        "budget": one,
        "owner": budgets.owner_of_budget(one),
        "standing": budget_moves.standing_of(one, at=now),
        "has_takers": bool(form.takers),
    }
    return render(request, "quotas/offer_budget.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def move(request: PersonRequest, move_id: UUID) -> HttpResponse:
    """Show an offer with what it would change; a POST accepts, declines or withdraws it."""
    one = access.get(budget_moves.visible_moves(request.actor), pk=move_id)
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, one, form):
        return redirect("quotas:budget-move", one.pk)
    now = timezone.now()
    is_open = one.state == BudgetMove.State.OFFERED
    context = {
        "move": one,
        "form": form,
        "is_open": is_open,
        "giver": budgets.owner_of_budget(one.from_budget),
        "taker": budgets.owner_of_budget(one.to_budget),
        "giving_person": budgets.who_answers(one.from_budget),
        "taking_person": budgets.who_answers(one.to_budget),
        "changes": budget_moves.changes_of(one, at=now),
        "may_accept": is_open and budget_moves.may_accept(one, actor=request.actor),
        "may_withdraw": is_open and budget_moves.may_withdraw(one, actor=request.actor),
        "history": audit.history(one),
    }
    return render(request, "quotas/budget_move.html", context)


def _offered(request: PersonRequest, one: Budget, form: MoveForm) -> BudgetMove | None:
    typed = form.cleaned_data
    try:
        return budget_moves.offer(
            one,
            to_budget=form.takers[typed["to"]],
            amount=typed["amount"],
            reason=typed["reason"],
            by=request.actor,
            at=timezone.now(),
        )
    except (InvalidInput, Conflict) as error:
        tell_refusal(form, error, names={})
    return None


def _decided(request: PersonRequest, one: BudgetMove, form: NoteForm) -> bool:
    """Do what the pressed button says; what the domain refuses goes to the form."""
    decide = {
        "accept": (budget_moves.accept, "Both budgets are changed."),
        "decline": (budget_moves.decline, "The offer is declined."),
        "withdraw": (budget_moves.withdraw, "The offer is taken back."),
    }.get(request.POST.get("decision", ""))
    try:
        if decide is None:
            raise InvalidInput("", "Accept, decline or take back.")
        decide[0](one, by=request.actor, at=timezone.now(), note=form.cleaned_data["note"])
    except (InvalidInput, Conflict) as error:
        tell_refusal(form, error, names={})
        # What somebody else decided meanwhile is what the page shows.
        one.refresh_from_db()
        return False
    messages.success(request, decide[1])
    return True
