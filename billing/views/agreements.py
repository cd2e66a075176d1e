"""Pages of an app's terms: how its price is split and what is proposed, and what it promises of its service."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import agreements
from billing.agreed_terms import AgreedTerms
from billing.agreement_effects import Effect, effect
from billing.agreement_forms import AnswerForm, MaintenanceForm, ServiceForm, TermsForm
from billing.house import house_terms
from billing.models import AgreementProposal, RevenueShareAgreement, ServiceResult, ServiceTerms, ShareTrueUp
from billing.service_credits import terms as service_terms
from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries as catalog_queries
from marketplace.catalog.models import App
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.core.periods import month_of

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List the agreements of one's apps, and what waits for an answer."""
    found = agreements.agreements(request.actor)
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "waiting": agreements.proposals(request.actor).filter(state=AgreementProposal.State.PROPOSED),
        "default": house_terms().default_share,
        "without": agreements.apps(request.actor).filter(revenue_shares=None).order_by("name")[:PAGE_SIZE],
    }
    return render(request, "billing/agreement_list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def agreement(request: PersonRequest, slug: str) -> HttpResponse:
    """Show an app's terms and proposals; a POST previews or proposes terms, or answers a proposal."""
    app = access.get(agreements.apps(request.actor), slug=slug)
    now = timezone.now()
    in_force = list(app.revenue_shares.order_by("-starts_at"))
    held = _held(in_force, at=now)
    open_one = (
        agreements.proposals(request.actor).filter(app=app, state=AgreementProposal.State.PROPOSED).first()
    )
    if request.method == "POST" and "answer" in request.POST and open_one and _answered(request, open_one):
        return redirect("billing:agreements", slug)
    is_typed = request.method == "POST" and "answer" not in request.POST
    form = TermsForm(
        request.POST if is_typed else None, now=held, initial={"starts_at": month_of(now).ends_at.date()}
    )
    context: dict[str, Any] = {"effect": None}
    if form.is_valid():
        context["effect"] = _typed(request, app, form)
        if context["effect"] is None and not form.errors:
            return redirect("billing:agreements", slug)
    context |= {
        "app": app,
        "agreements": in_force,
        "held": held,
        "is_default": not any(
            one.starts_at <= now and (one.ends_at is None or now < one.ends_at) for one in in_force
        ),
        "open": open_one,
        "proposals": agreements.proposals(request.actor).filter(app=app)[:PAGE_SIZE],
        "form": form,
        "may_decide": bool(open_one and agreements.may_decide(open_one, actor=request.actor)),
        "may_endorse": bool(open_one) and _may_endorse(request, open_one),
        "is_own": bool(open_one and open_one.proposed_by_id == request.user.pk),
        "true_ups": ShareTrueUp.objects.filter(agreement__app=app).order_by("-period", "-number")[:PAGE_SIZE],
    }
    return render(request, "billing/agreements.html", context)


def _may_endorse(request: PersonRequest, proposal: AgreementProposal | None) -> bool:
    return (
        proposal is not None
        and proposal.needs_second_person
        and proposal.endorsed_by_id is None
        and proposal.proposed_by_id != request.user.pk
        and request.actor.is_platform(access.Role.FINANCE)
    )


def _held(in_force: list[RevenueShareAgreement], *, at: datetime) -> AgreedTerms:
    terms = house_terms()
    for one in in_force:
        if one.starts_at <= at and (one.ends_at is None or at < one.ends_at):
            return agreements.terms_of(one, currency=terms.currency)
    return AgreedTerms(terms.default_share.share, terms.default_share.basis, terms.currency)


def _typed(request: PersonRequest, app: App, form: TermsForm) -> Effect | None:
    """Preview what was typed, or propose it; None when it was proposed, or when something of it is wrong."""
    try:
        terms = form.terms()
        if request.POST.get("what") == "preview":
            return effect(app, terms=terms)
        agreements.propose(
            app,
            terms=terms,
            starts_at=datetime.combine(form.cleaned_data["starts_at"], time(), UTC),
            reason=form.cleaned_data["reason"],
            by=request.actor,
            at=timezone.now(),
            floor=settings.MARGIN_FAIL_BELOW,
        )
    except InvalidInput as error:
        _show(form, error)
    except HalfpennyError as error:
        form.add_error(None, error.message)
    else:
        messages.success(request, "The terms are proposed: the other side is told.")
    return None


def _show(form: Any, error: InvalidInput) -> None:
    for one in error.errors:
        name = "share_percent" if one.field == "share" else one.field
        form.add_error(name if name in form.fields else None, one.message)


def _answered(request: PersonRequest, proposal: AgreementProposal) -> bool:
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return False
    answer, note, at = form.cleaned_data["answer"], form.cleaned_data["note"], timezone.now()
    try:
        if answer == "accept":
            agreements.accept(proposal, by=request.actor, at=at, note=note)
        elif answer == "decline":
            agreements.decline(proposal, by=request.actor, at=at, note=note)
        elif answer == "endorse":
            agreements.endorse(proposal, by=request.actor, at=at)
        else:
            agreements.withdraw(proposal, by=request.actor, at=at)
    except HalfpennyError as error:
        messages.error(request, error.message)
    return True


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def service(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what an app promises and how its months went; a POST of its creators promises anew or announces maintenance."""
    listing = catalog_queries.listing_for(request.actor, slug=slug)
    app, now = listing.app, timezone.now()
    may_set = service_terms.may_set(app, actor=request.actor)
    is_away = request.method == "POST" and "why" in request.POST
    form = ServiceForm(
        request.POST if request.method == "POST" and not is_away else None, initial=_promised(app)
    )
    away = MaintenanceForm(request.POST if is_away else None)
    if request.method == "POST":
        access.require(may_set, message="Only the app's creators and finance promise its service.")
        if _announced(request, app, away) if is_away else _agreed(request, listing.version, form):
            return redirect("billing:service", slug)
    context = {
        "listing": listing,
        "app": app,
        "terms": service_terms.in_force(app.pk, month=month_of(now)),
        "next_terms": ServiceTerms.objects.filter(app=app, starts_at__gt=now).order_by("starts_at").first(),
        "results": ServiceResult.objects.filter(app=app).order_by("-month", "objective")[:PAGE_SIZE],
        "windows": app.maintenance_windows.order_by("-starts_at")[:PAGE_SIZE],
        "form": form,
        "away": away,
        "may_set": may_set,
        "notice_hours": int(service_terms.NOTICE.total_seconds()) // 3600,
    }
    return render(request, "billing/service.html", context)


def _promised(app: App) -> dict[str, Any]:
    newest = ServiceTerms.objects.filter(app=app).order_by("-starts_at").first()
    if newest is None:
        return {}
    names = ("availability_percent", "latency_p95_ms", "support_hours", "cap_percent", "borne_by")
    steps = {
        f"{name}_steps": "\n".join(
            f"{one['beyond']} {one['percent']}" for one in newest.credits.get(name, [])
        )
        for name in ("availability", "latency")
    }
    return {name: getattr(newest, name) for name in names} | steps


def _agreed(request: PersonRequest, version: Any, form: ServiceForm) -> bool:
    if not form.is_valid():
        return False
    typed = form.cleaned_data
    try:
        promise = service_terms.Promise(
            availability_percent=typed["availability_percent"],
            latency_p95_ms=typed["latency_p95_ms"],
            support_hours=typed["support_hours"],
            availability_steps=service_terms.parse_steps(
                typed["availability_steps"], name="availability_steps"
            ),
            latency_steps=service_terms.parse_steps(typed["latency_steps"], name="latency_steps"),
            cap_percent=typed["cap_percent"] or Decimal(0),
            borne_by=typed["borne_by"],
        )
        service_terms.agree(version, promise=promise, by=request.actor, at=timezone.now())
    except InvalidInput as error:
        _show(form, error)
        return False
    messages.success(request, "It is promised from the first of the next month on.")
    return True


def _announced(request: PersonRequest, app: App, form: MaintenanceForm) -> bool:
    if not form.is_valid():
        return False
    typed = form.cleaned_data
    try:
        service_terms.announce_maintenance(
            app,
            starts_at=typed["starts_at"],
            ends_at=typed["ends_at"],
            why=typed["why"],
            by=request.actor,
            at=timezone.now(),
        )
    except InvalidInput as error:
        _show(form, error)
        return False
    messages.success(request, "The maintenance is announced.")
    return True
