"""The page of capacity: what can be served, how full it gets, and what approving all that waits would do."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES, Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput
from quotas import capacity as domain
from quotas import commitments, pending
from quotas.deciding.forms import CapacityForm
from quotas.deciding.heat import heat_map
from quotas.deciding.refusals import tell
from quotas.models import ModelCapacity
from quotas.served import served


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def capacity(request: PersonRequest) -> HttpResponse:
    """Show every model with what is committed, granted, used and asked for; a POST sets what a provider serves."""
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
    now = timezone.now()
    form = CapacityForm(request.POST or None)
    if form.is_valid() and _is_set(request, form):
        messages.success(request, "The capacity is set.")
        return redirect("quotas:capacity")
    waiting = pending.waiting()
    standings = domain.standings(at=now, pending=[one.ask for one in waiting])
    simulates = request.GET.get("simulate") == "all"
    known = [one for one in standings if one.free_now is not None]
    context = {
        "form": form,
        "standings": standings,
        "rows": heat_map(standings, with_pending=simulates),
        "hours": range(24),
        "simulates": simulates,
        "waiting": waiting,
        "known": len(known),
        "tightest_now": min(known, key=lambda one: one.free_now or 0, default=None),
        "tightest_then": min(known, key=lambda one: one.free_if_all_approved or 0, default=None),
        "until": served(at=now).until,
        "may_set": request.actor.is_platform(Role.OPERATOR),
        "commitments": [provider for one in standings for provider in one.providers],
    }
    return render(request, "quotas/capacity.html", context)


@login_required
@require_POST
def end_capacity(request: PersonRequest, capacity_id: int) -> HttpResponse:
    """End what a provider has committed."""
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
    found = access.get(ModelCapacity.objects.select_related("model"), pk=capacity_id)
    commitments.end_capacity(found, by=request.actor, at=timezone.now())
    messages.success(request, f"The capacity of {found} has ended.")
    return redirect("quotas:capacity")


def _is_set(request: PersonRequest, form: CapacityForm) -> bool:
    typed = form.cleaned_data
    try:
        commitments.set_capacity(
            typed["model"],
            provider=typed["provider"],
            requests_per_minute=typed["requests_per_minute"],
            tokens_per_minute=typed["tokens_per_minute"],
            note=typed["note"],
            by=request.actor,
            at=timezone.now(),
            starts_at=form.starts_at,
        )
    except (InvalidInput, Conflict) as error:
        tell(form, error, names={"starts_at": "first_day"})
        return False
    return True
