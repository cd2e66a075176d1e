"""The page of delegates: who decides for whom, from when to when."""

from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput
from quotas import delegations as domain
from quotas.deciding.forms import DelegationForm
from quotas.deciding.refusals import tell
from quotas.deciding.tabs import tabs
from quotas.delegation_previews import Preview, preview
from quotas.models import Delegation

SHOWN_ENDED = 20
NAMES = {"starts_at": "first_day", "ends_at": "last_day"}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delegations(request: PersonRequest) -> HttpResponse:
    """List delegates; a POST previews what would move to one, or makes it so."""
    now = timezone.now()
    visible = domain.visible_delegations(request.actor)
    may = domain.may_delegate(request.actor)
    access.require(may or visible.exists(), message="You decide nothing that could be delegated.")
    form, shown = _form(request), None
    if request.method == "POST" and form.is_valid():
        if "preview" in request.POST:
            shown = _preview(form, at=now)
        elif _is_made(request, form, at=now):
            messages.success(request, f"{form.cleaned_data['delegate']} decides instead in these days.")
            return redirect("quotas:delegations")
    context = {
        "form": form,
        "may_delegate": may,
        "is_operator": request.actor.is_platform(Role.OPERATOR),
        "preview": shown,
        "running": visible.filter(ends_at__gt=now).order_by("starts_at", "pk"),
        "ended": visible.filter(ends_at__lte=now).order_by("-ends_at", "-pk")[:SHOWN_ENDED],
        "tabs": tabs("delegations"),
    }
    return render(request, "quotas/deciding/delegations.html", context)


@login_required
@require_POST
def end_delegation(request: PersonRequest, delegation_id: int) -> HttpResponse:
    """End a delegation now."""
    found: Delegation = access.get(domain.visible_delegations(request.actor), pk=delegation_id)
    domain.end(found, by=request.actor, at=timezone.now())
    messages.success(request, f"{found.delegate} no longer decides for {found.delegator}.")
    return redirect("quotas:delegations")


def _form(request: PersonRequest) -> DelegationForm:
    delegators = domain.possible_delegators(request.actor)
    return DelegationForm(
        request.POST or None,
        delegators=delegators,
        delegates=domain.possible_delegates(delegators),
        initial={"delegator": request.user.pk},
    )


def _preview(form: DelegationForm, *, at: datetime) -> Preview:
    typed = form.cleaned_data
    return preview(typed["delegator"], to=typed["delegate"], scope=typed["scope"], at=at)


def _is_made(request: PersonRequest, form: DelegationForm, *, at: datetime) -> bool:
    typed = form.cleaned_data
    try:
        domain.delegate(
            typed["delegator"],
            to=typed["delegate"],
            scope=typed["scope"],
            starts_at=form.starts_at or at,
            ends_at=form.ends_at,
            note=typed["note"],
            by=request.actor,
            at=at,
        )
    except (InvalidInput, Conflict) as error:
        tell(form, error, names=NAMES)
        return False
    return True
