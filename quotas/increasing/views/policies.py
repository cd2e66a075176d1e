"""Pages of the policy for increase requests: its versions, proposing the next one, and deciding on it."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from marketplace.core.money import format_amount, to_text
from marketplace.core.periods import month_of
from quotas import increase_policies
from quotas.approvals import Terms
from quotas.increase_models import IncreasePolicy
from quotas.increase_rehearsal import Rehearsal, rehearse
from quotas.increasing import pages
from quotas.increasing.forms import PolicyDecisionForm, PolicyForm

LABELS = {
    "auto_max_percent": ("Granted by itself: increase of at most", "%"),
    "auto_max_monthly_cost": ("Granted by itself: projected cost a month of at most", "money"),
    "auto_min_head_room_percent": ("Granted by itself: capacity left of at least", "%"),
    "auto_max_days": ("Granted by itself: for at most", "days"),
    "cost_review_above": ("Cost review above a projected cost a month of", "money"),
    "capacity_review_above_percent": ("Capacity review above an increase of", "%"),
    "needs_two_people": ("Two reviews need two different people", ""),
    "remind_after_hours": ("Remind after", "hours"),
    "escalate_after_hours": ("Escalate after", "hours"),
    "expire_after_hours": ("Expire undecided after", "hours"),
}


@login_required
@require_safe
def policies(request: PersonRequest) -> HttpResponse:
    """List the versions of the policy, the newest first."""
    _require_reader(request)
    now = timezone.now()
    found = list(IncreasePolicy.objects.select_related("proposed_by", "decided_by").order_by("-number"))
    current = next((one for one in found if one.is_in_force(now)), None)
    context = {
        "policies": found,
        "current": current,
        "terms": written(increase_policies.terms_of(current)) if current else [],
        "can_propose": request.actor.is_platform(*increase_policies.PROPOSERS),
    }
    return render(request, "quotas/increases/policies.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: PersonRequest) -> HttpResponse:
    """Show the form for the next version, filled with the one in force; a POST tries it on last month or proposes it."""
    access.require_platform(request.actor, *increase_policies.PROPOSERS)
    now = timezone.now()
    current = increase_policies.in_force(now)
    form = PolicyForm(request.POST or None, replaces=current)
    tried = None
    if form.is_valid():
        if request.POST.get("act") == "propose":
            made = _proposed(request, form, at=now)
            if made is not None:
                messages.success(request, "It is proposed. It holds once a second person has activated it.")
                return redirect("quotas:policy", made.number)
        else:
            tried = _tried(form, at=now)
    context = {"form": form, "current": current, "currency": settings.CURRENCY, "rehearsal": tried} | _rows(
        tried
    )
    return render(request, "quotas/increases/propose_policy.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: PersonRequest, version: int) -> HttpResponse:
    """Show one version beside the one before it, tried on last month; a POST activates, rejects or takes it back."""
    _require_reader(request)
    found = access.get(IncreasePolicy.objects.select_related("proposed_by", "decided_by"), number=version)
    now = timezone.now()
    form = PolicyDecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, found, form, at=now):
        return redirect("quotas:policy", version)
    before = _before(found, at=now)
    tried = _on_last_month(increase_policies.terms_of(found), at=now)
    context = {
        "policy": found,
        "before": before,
        "changes": changes(before, found),
        "rehearsal": tried,
        "form": form,
        "is_open": found.state == IncreasePolicy.State.PROPOSED,
        "is_own": found.proposed_by_id == request.user.pk,
        "is_in_force": found.is_in_force(now),
        "may_decide": increase_policies.may_decide(found, actor=request.actor),
    } | _rows(tried)
    return render(request, "quotas/increases/policy.html", context)


def written(terms: Terms) -> list[tuple[str, str]]:
    """Write the terms of a policy as pairs of label and value."""
    return [
        (label, _value(getattr(terms, name), unit, terms.currency)) for name, (label, unit) in LABELS.items()
    ]


def changes(before: IncreasePolicy | None, after: IncreasePolicy) -> list[dict[str, str]]:
    """Set the terms of two versions beside each other."""
    new = written(increase_policies.terms_of(after))
    old = dict(written(increase_policies.terms_of(before))) if before else {}
    return [{"label": label, "old": old.get(label, ""), "new": value} for label, value in new]


def _before(found: IncreasePolicy, *, at: datetime) -> IncreasePolicy | None:
    """Return the version that it replaced or would replace."""
    if found.starts_at is None:
        return increase_policies.in_force(at)
    earlier = IncreasePolicy.objects.filter(
        state=IncreasePolicy.State.APPROVED, starts_at__lt=found.starts_at
    )
    return earlier.order_by("-starts_at").first()


def _value(value: Any, unit: str, currency: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "money":
        return format_amount(value, currency)
    text = to_text(value) if isinstance(value, Decimal) else str(value)
    return f"{text} {unit}"


def _proposed(request: PersonRequest, form: PolicyForm, *, at: datetime) -> IncreasePolicy | None:
    try:
        terms = form.terms(currency=settings.CURRENCY)
        return increase_policies.propose(terms, reason=form.cleaned_data["reason"], by=request.actor, at=at)
    except HalfpennyError as error:
        _tell_refusal(form, error)
    return None


def _tried(form: PolicyForm, *, at: datetime) -> Rehearsal | None:
    terms = form.terms(currency=settings.CURRENCY)
    try:
        increase_policies.check(terms, reason=form.cleaned_data["reason"])
    except InvalidInput as error:
        _tell_refusal(form, error)
        return None
    return _on_last_month(terms, at=at)


def _on_last_month(terms: Terms, *, at: datetime) -> Rehearsal:
    """Try terms on everything since the first day of the month before."""
    return rehearse(terms, from_at=month_of(at).previous().starts_at, to_at=at)


def _rows(tried: Rehearsal | None) -> dict[str, Any]:
    replayed = tried.replayed if tried else ()
    return {"rows": [(one, pages.row_without_grant(one.request)) for one in replayed[:25]]}


def _decided(
    request: PersonRequest, found: IncreasePolicy, form: PolicyDecisionForm, *, at: datetime
) -> bool:
    """Do what the pressed button says; what the domain refuses goes to the form."""
    note, act = form.cleaned_data["note"], request.POST.get("act")
    try:
        if act == "activate":
            starts_at = form.cleaned_data["starts_at"]
            increase_policies.activate(found, by=request.actor, at=at, starts_at=starts_at, note=note)
            messages.success(
                request, f"Policy {found.number} holds from {found.starts_at:%Y-%m-%d %H:%M} UTC on."
            )
        elif act == "reject":
            increase_policies.reject(found, by=request.actor, at=at, note=note)
            messages.success(request, "The policy is rejected.")
        elif act == "withdraw":
            increase_policies.withdraw(found, by=request.actor, at=at)
            messages.success(request, "The policy is taken back.")
        else:
            raise InvalidInput("", "Activate, reject or take back.")
    except (InvalidInput, Conflict) as error:
        _tell_refusal(form, error)
        found.refresh_from_db()
        return False
    return True


def _tell_refusal(form: Form, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)


def _require_reader(request: PersonRequest) -> None:
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
