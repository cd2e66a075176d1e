"""Pages of incidents: the list, one of them with everything that can be done, the banner of an app, the policy."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from quotas import incident_policies, incident_queries, incidents
from quotas.incident_models import Incident, IncidentPolicy
from quotas.incident_pages import pages
from quotas.incident_pages.forms import FORMS, DecisionForm, PolicyForm, ReasonForm, initial_of

PAGE_SIZE = 50
SHOWN_POLICIES = 20
State = Incident.State


@login_required
@require_safe
def incident_list(request: PersonRequest) -> HttpResponse:
    """List incidents, the open ones first; those that nobody looks after before all others."""
    now = timezone.now()
    found = incident_queries.visible(request.actor)
    counts = incident_queries.counts(found)
    show = request.GET.get("show", "")
    shown = found
    if show in ("open", "closed"):
        shown = found.filter(state=State.CLOSED) if show == "closed" else found.exclude(state=State.CLOSED)
    ordered = incident_queries.open_first(shown).select_related("app__owner_team__organization", "closed_by")
    page = Paginator(ordered, PAGE_SIZE).get_page(request.GET.get("page"))
    times = incident_queries.times(found, at=now)
    context = {
        "rows": [pages.row(one) for one in page],
        "page": page,
        "tabs": _tabs(show, counts),
        "open_count": sum(counts.values()) - counts.get(State.CLOSED, 0),
        "stopped_count": sum(counts.get(state, 0) for state in Incident.STOPPED),
        "times": times,
        "mean_acknowledged": pages.span(times.acknowledged_s),
        "mean_resolved": pages.span(times.resolved_s),
        "last_judged": incident_queries.last_judged(),
        "is_platform": request.actor.is_platform(*PLATFORM_ROLES),
    }
    return render(request, "quotas/incidents.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def incident(request: PersonRequest, incident_id: UUID) -> HttpResponse:
    """Show an incident; a POST does one of the acts that the person may."""
    one = access.get(
        incident_queries.visible(request.actor).select_related(
            "app__owner_team__organization", "acknowledged_by", "resumed_by", "closed_by"
        ),
        pk=incident_id,
    )
    failed: ReasonForm | None = None
    if request.method == "POST":
        failed = _act(request, one)
        if failed is None:
            return redirect("quotas:incident", one.pk)
    now = timezone.now()
    hours = incident_queries.hours_of(one, at=now)
    users = incident_queries.consumers(one, actor=request.actor)
    context = {
        "one": one,
        "row": pages.row(one),
        "highest": pages.quantity(one, one.highest),
        "chart": pages.chart(one, hours),
        "sentence": pages.sentence(one, hours),
        "causes": pages.causes(one),
        "excess": one.actual - one.expected,
        "consumers": users,
        "currency": incidents.currency_of(one),
        "earlier": incident_queries.earlier(one),
        "limits": incident_queries.limits_now(one, at=now),
        "timeline": pages.timeline(one),
        "acts": _acts(request, one, failed),
        "is_own": one.app.owner_team_id in request.actor.team_ids,
        "failed": failed,
        # What somebody else did meanwhile may have taken the act away; the page still says what became of it.
        "is_gone": failed is not None and failed.what not in pages.acts(one, actor=request.actor),
    }
    return render(request, "quotas/incident.html", context)


@login_required
@require_safe
def app_incident(request: PersonRequest, slug: str) -> HttpResponse:
    """Say how an app stands: a fragment for its pages, for its makers, its subscribers and the platform."""
    app = access.get(incident_queries.apps_of_interest(request.actor), slug=slug)
    one = incident_queries.running(app)
    now = timezone.now()
    context = {
        "app": app,
        "one": one,
        "row": pages.row(one) if one else None,
        "limits": incident_queries.limits_now(one, at=now) if one else [],
        "may_open": one is not None and incident_queries.visible(request.actor).filter(pk=one.pk).exists(),
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request, "quotas/_app_incident.html" if is_fragment else "quotas/app_incident.html", context
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: PersonRequest) -> HttpResponse:
    """Show the thresholds in force, the proposed ones with what they would have found; a POST decides."""
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
    proposed = IncidentPolicy.objects.select_related("proposed_by").filter(state="proposed").first()
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, proposed, form):
        return redirect("quotas:incident-policy")
    now = timezone.now()
    rules = incident_policies.rules_in_force()
    versions = IncidentPolicy.objects.select_related("proposed_by", "decided_by").order_by("-number")
    context: dict[str, Any] = {
        "rules": rules,
        "thresholds": pages.thresholds(rules),
        "versions": versions[:SHOWN_POLICIES],
        "proposed": proposed,
        "form": form,
        "can_propose": request.actor.is_platform(*incident_policies.PROPOSERS) and proposed is None,
    }
    if proposed is not None:
        wanted = incident_policies.rules_of(proposed)
        context |= {
            "changes": pages.difference(rules, wanted),
            "is_own": proposed.proposed_by_id == request.actor.user.pk,
            "may_decide": incident_policies.may_decide(proposed, actor=request.actor),
            **_compared(rules, wanted, now),
        }
    return render(request, "quotas/incident_policy.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose_policy(request: PersonRequest) -> HttpResponse:
    """Show the form for thresholds, filled with those in force; a POST tries them on the last month, or proposes them."""
    access.require_platform(request.actor, *incident_policies.PROPOSERS)
    rules = incident_policies.rules_in_force()
    form = PolicyForm(request.POST or None, rules=rules)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        if "preview" in request.POST:
            context |= {"is_preview": True, **_compared(rules, form.rules(), timezone.now())}
        elif _proposed(request, form):
            messages.success(
                request, "They are proposed. They hold once a second person has put them in force."
            )
            return redirect("quotas:incident-policy")
    return render(request, "quotas/propose_incident_policy.html", context)


def _tabs(show: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    closed, path = counts.get(State.CLOSED, 0), reverse("quotas:incidents")
    named = {
        "": ("All", sum(counts.values())),
        "open": ("Open", sum(counts.values()) - closed),
        "closed": ("Closed", closed),
    }
    return [
        {
            "label": label,
            "count": count,
            "url": f"{path}?show={key}" if key else path,
            "is_current": show == key,
        }
        for key, (label, count) in named.items()
    ]


def _acts(request: PersonRequest, one: Incident, failed: ReasonForm | None) -> list[dict[str, Any]]:
    """Return a form for each act that the person may do now; the one that was refused says why."""
    rules, now = incident_policies.rules_in_force(), timezone.now()
    found = []
    names = pages.acts(one, actor=request.actor)
    rate = incident_queries.suggested_rate(one) if "throttle" in names else 1
    for what in names:
        form = failed if failed is not None and failed.what == what else None
        initial = initial_of(what, one, rules=rules, rate=rate, at=now)
        found.append(
            {
                "what": what,
                "title": pages.TITLES[what],
                "form": form or FORMS[what](initial=initial),
                "is_dangerous": what in pages.DANGEROUS,
                "is_open": form is not None,
            }
        )
    return found


def _act(request: PersonRequest, one: Incident) -> ReasonForm | None:
    """Do what the pressed button says; returns the form that the domain refuses, with why."""
    what = request.POST.get("act", "")
    if what not in FORMS:
        raise InvalidInput("act", f"{what!r} is not one of {', '.join(FORMS)}")
    form = FORMS[what](request.POST)
    if not form.is_valid():
        return form
    try:
        DOMAIN[what](request, one, form.cleaned_data)
    except (InvalidInput, Conflict) as error:
        _tell_refusal(form, error)
        one.refresh_from_db()
        return form
    messages.success(request, DONE[what])
    return None


def _acknowledge(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.acknowledge(one, by=request.actor, at=timezone.now(), note=typed["reason"])


def _contact(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.contact_owner(one, by=request.actor, at=timezone.now(), message=typed["reason"])


def _throttle(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.throttle(one, by=request.actor, at=timezone.now(), **typed)


def _pause(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.pause(one, by=request.actor, at=timezone.now(), reason=typed["reason"])


def _resume(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.resume(one, by=request.actor, at=timezone.now(), **typed)


def _expect(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.expect(one, by=request.actor, at=timezone.now(), **typed)


def _close(request: PersonRequest, one: Incident, typed: dict[str, Any]) -> None:
    incidents.close(one, by=request.actor, at=timezone.now(), explanation=typed["reason"])


DOMAIN: dict[str, Callable[[PersonRequest, Incident, dict[str, Any]], None]] = {
    "acknowledge": _acknowledge, "contact": _contact, "throttle": _throttle, "pause": _pause, "resume": _resume,
    "expect": _expect, "close": _close,
}  # fmt: skip
DONE = {
    "acknowledge": "You look after it. Nobody else is told any more.",
    "contact": "The makers of the app are told.",
    "throttle": "It is slowed from the next call on.",
    "pause": "It is paused: calls answer 503 and cost nothing.",
    "resume": "It runs again, at the ceiling.",
    "expect": "Noted. Detectors keep quiet about it up to that amount.",
    "close": "The incident is closed.",
}


def _compared(rules: incident_policies.Rules, wanted: incident_policies.Rules, now: Any) -> dict[str, Any]:
    """Try both on the last month; what both find is read from the same hours."""
    before, after = incident_policies.compare(rules, wanted, at=now)
    return {
        "found": pages.found_rows([one.as_json() for one in after]),
        "found_before": len(before),
        "dry_run_days": incident_policies.DRY_RUN_DAYS,
    }


def _proposed(request: PersonRequest, form: PolicyForm) -> bool:
    try:
        incident_policies.propose(
            form.rules(), reason=form.cleaned_data["reason"], by=request.actor, at=timezone.now()
        )
    except (InvalidInput, Conflict) as error:
        _tell_refusal(form, error)
        return False
    return True


def _decided(request: PersonRequest, proposed: IncidentPolicy | None, form: DecisionForm) -> bool:
    note, now, decision = form.cleaned_data["note"], timezone.now(), request.POST.get("decision")
    try:
        if proposed is None:
            raise InvalidInput("", "Nothing waits for a decision any more.")
        if decision == "activate":
            incident_policies.activate(proposed, by=request.actor, at=now, note=note)
            messages.success(request, "The thresholds are in force.")
        elif decision == "reject":
            incident_policies.reject(proposed, by=request.actor, at=now, note=note)
            messages.success(request, "The thresholds are rejected.")
        elif decision == "withdraw":
            incident_policies.withdraw(proposed, by=request.actor, at=now)
            messages.success(request, "The thresholds are taken back.")
        else:
            raise InvalidInput("", "Put them in force, reject or take them back.")
    except (InvalidInput, Conflict) as error:
        _tell_refusal(form, error)
        return False
    return True


def _tell_refusal(form: Any, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)
