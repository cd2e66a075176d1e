"""The page of a month's steps with what is done about them, and the incident of totals that differ."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from billing import queries
from billing.allocation_forms import RefusableForm
from billing.chargeback import statements
from billing.closing import checklist, discrepancies, marks, reconciling, reopening
from billing.house import house_terms
from billing.models import BillingPeriod, Reopening, StepMark
from billing.views.periods import require_finance
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def steps(request: PersonRequest, name: str) -> HttpResponse:
    """Show the steps of a month with figures and links; a POST does one of the things that a person does about them."""
    require_finance(request.actor)
    month = queries.month_called(name, at=timezone.now())
    period = BillingPeriod.objects.filter(pk=name).select_related("closed_by").first() or BillingPeriod(
        name=name, starts_at=month.month.starts_at, ends_at=month.month.ends_at
    )
    form = RefusableForm()
    if request.method == "POST":
        access.require_platform(request.actor, Role.FINANCE)
        try:
            _do(request, period)
        except HalfpennyError as error:
            messages.error(request, error.message)
        return redirect("billing:checklist", name)
    found = checklist.steps(period)
    active = reopening.active(name)
    me = request.actor.user.pk
    is_platform = request.actor.is_platform(Role.FINANCE)
    context = {
        "month": month,
        "period": period,
        "form": form,
        "steps": found,
        "bar": checklist.as_bar(found),
        "is_platform": is_platform,
        "is_closed": period.state == BillingPeriod.State.CLOSED,
        "reopening": active,
        "is_own_reopening": active is not None and active.proposed_by_id == me,
        "past": list(
            Reopening.objects.filter(period=name)
            .exclude(state__in=("proposed", "approved"))
            .select_related("proposed_by", "decided_by")
            .order_by("-proposed_at")
        ),
        "may_accept": is_platform
        and reconciling.state_of(period) is None
        and checklist.mark_of(period, StepMark.Step.RECONCILED) is None,
        "may_approve": is_platform
        and period.closed_by_id != me
        and checklist.mark_of(period, StepMark.Step.APPROVED) is None,
        "has_closed_it": period.closed_by_id == me,
    }
    return render(request, "billing/checklist.html", context)


def _do(request: PersonRequest, period: BillingPeriod) -> None:
    """Do what a button says. Raises what the domain raises."""
    what, reason = request.POST.get("do", ""), request.POST.get("reason", "")
    by, now = request.actor, timezone.now()
    if period._state.adding:
        raise Conflict(f"Nothing is known of {period.name} yet.")
    active = reopening.active(period.name)
    if what == "publish":
        new = statements.publish(period.name, terms=house_terms(), at=now, by=by.user)
        messages.success(request, f"{len(new)} statements are published." if new else "Nothing has changed.")
    elif what == "accept":
        marks.accept_unreconciled(period, reason=reason, by=by, at=now)
    elif what == "approve":
        marks.approve(period, note=reason, by=by, at=now)
    elif what == "reopen":
        reopening.propose(period, reason=reason, by=by, at=now)
        messages.success(request, "It waits for a second person.")
    elif active is not None and what == "agree":
        reopening.approve(active, by=by, at=now, note=reason)
    elif active is not None and what == "refuse":
        reopening.reject(active, by=by, at=now, note=reason)
    elif active is not None and what == "withdraw":
        reopening.withdraw(active, by=by, at=now)
    elif active is not None and what == "lock":
        reopening.lock(active, by=by, at=now)


@login_required
@require_POST
def acknowledge(request: PersonRequest) -> HttpResponse:
    """Say what the totals that differ are about."""
    access.require_platform(request.actor, Role.FINANCE)
    incident = discrepancies.current()
    if incident is not None:
        try:
            note = request.POST.get("note", "")
            discrepancies.acknowledge(incident, note=note, by=request.actor, at=timezone.now())
        except HalfpennyError as error:
            messages.error(request, error.message)
    return redirect("billing:verify")
