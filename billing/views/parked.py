"""The page of bills that are put aside, and what finance does about them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing import background, monthly_run, parking, queries
from billing.models import ParkedBill
from billing.run_forms import HandOverForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict

MOST_SHOWN = 200


@login_required
@require_safe
def parked(request: PersonRequest, name: str) -> HttpResponse:
    """List what is put aside of a month, with the reason and who looks after it."""
    access.require_platform(request.actor, Role.FINANCE)
    month = queries.month_called(name, at=timezone.now())
    context = {
        "month": month,
        "rows": parking.parked(name)[:MOST_SHOWN],
        "run": monthly_run.run_state(name),
        "form": HandOverForm(),
    }
    return render(request, "billing/parked.html", context)


@login_required
@require_POST
def retry_all(request: PersonRequest, name: str) -> HttpResponse:
    """Try everything again that could not be made; what is held back stays."""
    access.require_platform(request.actor, Role.FINANCE)
    month = queries.month_called(name, at=timezone.now())
    background.request_retry_all(month.name, at=timezone.now(), by=request.actor.user)
    messages.success(request, "It is tried again.")
    return redirect("billing:period", month.name)


@login_required
@require_POST
def retry(request: PersonRequest, parked_id: int) -> HttpResponse:
    """Release one bill, and let the month go on with it."""
    one = _one(request, parked_id)
    try:
        background.request_retry(one, at=timezone.now(), by=request.actor.user)
    except Conflict as error:
        messages.error(request, error.message)
    return redirect("billing:parked", one.period_id)


@login_required
@require_POST
def hand_over(request: PersonRequest, parked_id: int) -> HttpResponse:
    """Give one bill to somebody who looks after it."""
    one = _one(request, parked_id)
    form = HandOverForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose who should look after it.")
        return redirect("billing:parked", one.period_id)
    typed = form.cleaned_data
    try:
        parking.hand_over(
            one, to=typed["person"], note=typed["note"], at=timezone.now(), by=request.actor.user
        )
    except Conflict as error:
        messages.error(request, error.message)
    return redirect("billing:parked", one.period_id)


def _one(request: PersonRequest, parked_id: int) -> ParkedBill:
    access.require_platform(request.actor, Role.FINANCE)
    return access.get(ParkedBill.objects.select_related("period"), pk=parked_id)
