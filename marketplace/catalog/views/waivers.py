"""Pages of waivers, and of what is found in live apps."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import check_states, live_findings, queries_checks, waivers
from marketplace.catalog.check_models import CheckWaiver
from marketplace.catalog.forms.check_forms import NoteForm, WaiverDecisionForm, WaiverForm
from marketplace.catalog.scans.rules import rule_of
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed

PAGE_SIZE = 25


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: PersonRequest, finding_id: int) -> HttpResponse:
    """Ask for a waiver of one finding."""
    finding = access.get(queries_checks.visible_findings(request.actor), pk=finding_id)
    version, rule = finding.run.version, rule_of(finding.rule)
    form = WaiverForm(request.POST or None)
    if form.is_valid():
        try:
            made = waivers.propose(
                finding,
                reason=form.cleaned_data["reason"],
                ends_at=form.ends_at,
                by=request.actor.user,
                at=timezone.now(),
            )
        except InvalidInput as error:
            form.add_error("ends_on" if error.field == "ends_at" else "reason", error.errors[0].message)
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect(waivers.path_of(finding.run))
        else:
            messages.success(request, "Asked for. An approver decides.")
            return redirect("catalog:waiver", made.pk)
    context = {"finding": finding, "rule": rule, "version": version, "form": form, "why_not": waivers.why_not_waivable(finding)}  # fmt: skip
    return render(request, "catalog/waive.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def waiver(request: PersonRequest, waiver_id: UUID) -> HttpResponse:
    """Show a waiver; a POST decides it or takes it back."""
    found = access.get(waivers.visible(request.actor), pk=waiver_id)
    form = WaiverDecisionForm(request.POST or None)
    if form.is_valid():
        try:
            _decide(request, found, form.cleaned_data["decision"], form.cleaned_data["reason"])
        except InvalidInput as error:
            form.add_error("reason", error.errors[0].message)
        except (Conflict, NotAllowed) as error:
            messages.warning(request, error.message)
            return redirect("catalog:waiver", found.pk)
        else:
            return redirect(waivers.path_of(found.finding.run))
    is_approver = waivers.may_approve(found.app.owner_team.organization_id, request.actor)
    is_own = request.actor.user.pk in (found.requested_by_id, found.finding.run.version.submitted_by_id)
    is_open = found.state == CheckWaiver.State.PROPOSED
    context = {
        "waiver": found,
        "finding": found.finding,
        "rule": rule_of(found.finding.rule),
        "version": found.finding.run.version,
        "form": form,
        "may_decide": is_approver and not is_own and is_open,
        "may_withdraw": "withdrawn" in CheckWaiver.TRANSITIONS[found.state],
        "is_own": is_own and is_open,
        "checks_path": waivers.path_of(found.finding.run),
    }
    return render(request, "catalog/waiver.html", context)


@login_required
@require_safe
def live(request: PersonRequest) -> HttpResponse:
    """List live apps with new findings, and waivers that wait for a decision."""
    _require_approver(request)
    found = queries_checks.reviewed_live_findings(request.actor)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(run, [(one, rule_of(one.rule)) for one in run.findings.all()][:5]) for run in page.object_list]
    asked = (
        waivers.visible(request.actor).filter(state=CheckWaiver.State.PROPOSED).order_by("requested_at", "pk")
    )
    context = {
        "page": page,
        "rows": rows,
        "asked": [(one, rule_of(one.finding.rule)) for one in asked[:PAGE_SIZE]],
        "in_force": [
            (one, rule_of(one.finding.rule))
            for one in waivers.visible(request.actor)
            .filter(pk__in=check_states.waivers_in_force(timezone.now()))
            .order_by("ends_at", "pk")[:PAGE_SIZE]
        ],
    }
    return render(request, "catalog/live_findings.html", context)


@login_required
@require_POST
def mark_seen(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Keep what happens about the findings of a live app."""
    _require_approver(request)
    run = access.get(queries_checks.reviewed_live_findings(request.actor), pk=run_id)
    form = NoteForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say what happens now: the log keeps it, and its makers read it.")
        return redirect("catalog:live-findings")
    try:
        note = form.cleaned_data["note"]
        live_findings.mark_seen(run, note=note, by=request.actor.user, at=timezone.now())
    except Conflict as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, "Noted. Its makers are told.")
    return redirect("catalog:live-findings")


def _decide(request: PersonRequest, found: CheckWaiver, decision: str, reason: str) -> None:
    now = timezone.now()
    if decision == "withdraw":
        waivers.withdraw(found, by=request.actor.user, at=now, reason=reason)
        messages.success(request, "Withdrawn.")
        return
    waivers.decide(found, approve=decision == "approve", by=request.actor, at=now, reason=reason)
    messages.success(request, "Accepted." if decision == "approve" else "Refused.")


def _require_approver(request: PersonRequest) -> None:
    is_approver = request.actor.is_platform(Role.APPROVER) or request.actor.organizations_as(Role.APPROVER)
    access.require(bool(is_approver), message="This is for approvers only.")
