"""Pages of the rules that reviews go by: ready-made reasons, holidays, what is approved by itself."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import auto_approvals, canned_reasons, holidays
from marketplace.catalog.auto_approval_models import AutoApprovalPolicy, PostReview
from marketplace.catalog.forms.review_forms import CannedReasonForm, HolidayForm, PolicyForm
from marketplace.catalog.views.reviews import tabs
from marketplace.core.errors import HalfpennyError, InvalidInput

REHEARSED_DAYS = 90


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: PersonRequest) -> HttpResponse:
    """Show ready-made reasons and holidays; a POST adds one of either."""
    _require_reader(request)
    what = request.POST.get("what", "")
    places = holidays.organizations(request.actor)
    reason_form = CannedReasonForm(request.POST if what == "reason" else None)
    holiday_form = HolidayForm(request.POST if what == "holiday" else None, organizations=places)
    try:
        if reason_form.is_valid():
            canned_reasons.add(**reason_form.cleaned_data, by=request.actor, at=timezone.now())
            messages.success(request, "Added. Approvers can choose it.")
            return redirect("catalog:review-rules")
        if holiday_form.is_valid():
            holidays.add(**holiday_form.cleaned_data, by=request.actor, at=timezone.now())
            messages.success(request, "Added. Due dates skip it from now on.")
            return redirect("catalog:review-rules")
    except InvalidInput as error:
        form = reason_form if what == "reason" else holiday_form
        form.add_error(error.field, error.errors[0].message)
    today = timezone.now().date()
    context = {
        "reasons": canned_reasons.offered(),
        "holidays": holidays.editable(request.actor).filter(day__gte=today),
        "reason_form": reason_form,
        "holiday_form": holiday_form,
        "may_keep_reasons": request.actor.is_platform(*canned_reasons.KEEPERS),
        "tabs": tabs("rules", for_rules_only=_decides_nothing(request)),
    }
    return render(request, "catalog/review_rules.html", context)


@login_required
@require_POST
def retire_reason(request: PersonRequest, reason_id: int) -> HttpResponse:
    """Offer a ready-made reason no more."""
    _require_reader(request)
    found = access.get(canned_reasons.offered(), pk=reason_id)
    canned_reasons.retire(found, by=request.actor, at=timezone.now())
    messages.success(request, "It is offered no more; decisions keep its words.")
    return redirect("catalog:review-rules")


@login_required
@require_POST
def remove_holiday(request: PersonRequest, holiday_id: int) -> HttpResponse:
    """Remove a holiday."""
    found = access.get(holidays.editable(request.actor), pk=holiday_id)
    holidays.remove(found, by=request.actor, at=timezone.now())
    messages.success(request, "Removed.")
    return redirect("catalog:review-rules")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def auto_approval(request: PersonRequest) -> HttpResponse:
    """Show the policy, and try terms on what people decided; a POST proposes, decides or switches off."""
    _require_reader(request)
    may_propose = request.actor.is_platform(*auto_approvals.PROPOSERS)
    if request.method == "POST" and "act" in request.POST:
        return _act(request)
    form = PolicyForm(request.POST or request.GET or None)
    now = timezone.now()
    rehearsal = None
    if form.is_valid():
        terms = form.terms(settings.CURRENCY)
        if request.method == "POST" and _proposed(request, form):
            return redirect("catalog:auto-approval")
        if may_propose:
            rehearsal = auto_approvals.rehearse(
                terms, from_at=now - timedelta(days=REHEARSED_DAYS), to_at=now
            )
    seen = PostReview.objects.exclude(seen_at=None)
    context = {
        "policy": auto_approvals.in_force(),
        "proposed": AutoApprovalPolicy.objects.filter(state="proposed").select_related("proposed_by").order_by("number"),
        "past": AutoApprovalPolicy.objects.exclude(state="proposed").select_related("proposed_by", "decided_by").order_by("-number")[:10],
        "form": form if form.is_bound else PolicyForm(),
        "rehearsal": rehearsal,
        "days": REHEARSED_DAYS,
        "currency": settings.CURRENCY,
        "looked": seen.count(),
        "disagreed": seen.filter(would_approve=False).count(),
        "may_propose": may_propose,
        "tabs": tabs("policy", for_rules_only=_decides_nothing(request)),
    }  # fmt: skip
    return render(request, "catalog/auto_approval.html", context)


def _proposed(request: PersonRequest, form: PolicyForm) -> bool:
    try:
        auto_approvals.propose(
            form.terms(settings.CURRENCY),
            reason=form.cleaned_data["reason"],
            by=request.actor,
            at=timezone.now(),
        )
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field, one.message)
        return False
    messages.success(request, "Proposed. A second person activates it.")
    return True


def _act(request: PersonRequest) -> HttpResponse:
    """Decide on a proposed policy, or switch off the active one."""
    act, note, now = request.POST["act"], request.POST.get("note", "")[:2_000], timezone.now()
    try:
        if act == "off":
            auto_approvals.switch_off(by=request.actor, at=now, reason=note)
        else:
            policies = AutoApprovalPolicy.objects.all()
            policy = access.get(policies, number=request.POST.get("number", ""))
            if act == "activate":
                auto_approvals.activate(policy, by=request.actor, at=now, note=note)
            elif act == "reject":
                auto_approvals.reject(policy, by=request.actor, at=now, note=note)
            elif act == "withdraw":
                auto_approvals.withdraw(policy, by=request.actor, at=now)
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
    except HalfpennyError as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, "Done. The log has it.")
    return redirect("catalog:auto-approval")


def _require_reader(request: PersonRequest) -> None:
    actor = request.actor
    is_reader = actor.is_platform(Role.APPROVER, Role.OPERATOR) or actor.organizations_as(Role.APPROVER)
    access.require(bool(is_reader), message="This is for approvers and operators.")


def _decides_nothing(request: PersonRequest) -> bool:
    return Role.APPROVER not in request.actor.roles and not request.user.is_superuser
