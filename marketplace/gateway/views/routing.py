"""Pages of routing: an app's policy with its dry run, all policies, and approvals of dear models."""

from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES, Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.models import App
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.gateway.routing import dear, overview, policies, table
from marketplace.gateway.routing.dry_runs import DryRun, dry_run
from marketplace.gateway.routing.forms import (
    KNOWN_INTENTS,
    AskDearForm,
    DearNoteForm,
    DearRuleForm,
    PolicyForm,
    row_forms,
)
from marketplace.gateway.routing_models import DearModel


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def app_routing(request: PersonRequest, slug: str) -> HttpResponse:
    """Show an app's policy and what became of its calls; a POST tries an edited one on last week, or saves it."""
    app = access.get(policies.visible_apps(request.actor), slug=slug)
    may_save = policies.apps(request.actor).filter(pk=app.pk).exists()
    access.require(
        may_save or request.method != "POST", message="Only its makers and operators save a policy."
    )
    now = timezone.now()
    page = overview.of_app(app, currency=settings.CURRENCY, at=now)
    rows = row_forms(request.POST or None, page.rows, uses=page.uses)
    form = PolicyForm(request.POST or None, initial=page.initial)
    tried = None
    if request.method == "POST" and form.is_valid() and rows.is_valid():
        tried = _try(app, form, rows.rows(), page.models, at=now)
        if tried and "save" in request.POST and _save(request, app, form, rows.rows(), page.models, tried):
            return redirect("gateway:routing", app.slug)
    context = {
        "app": app, "page": page, "rows": rows, "form": form, "tried": tried, "may_save": may_save,
        "known_intents": KNOWN_INTENTS, "ask_form": AskDearForm(names=page.withheld),
    }  # fmt: skip
    return render(request, "gateway/routing.html", context)


@login_required
@require_POST
def end_routing(request: PersonRequest, slug: str) -> HttpResponse:
    """End an app's policy: its calls go to the cheapest approved model again."""
    app = access.get(policies.apps(request.actor), slug=slug)
    policies.end(app, by=request.actor, at=timezone.now())
    messages.success(request, "The policy has ended. Calls go to the cheapest approved model.")
    return redirect("gateway:routing", app.slug)


@login_required
@require_POST
def ask_dear(request: PersonRequest, slug: str) -> HttpResponse:
    """Ask for an approval of a dear model."""
    app = access.get(policies.apps(request.actor), slug=slug)
    form = AskDearForm(request.POST, names=list(policies.models_of(app)))
    if not form.is_valid():
        messages.error(request, "; ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect("gateway:routing", app.slug)
    until = form.cleaned_data["ends_at"]
    asked = dear.ask(
        app,
        model=form.cleaned_data["model"],
        reason=form.cleaned_data["reason"],
        ends_at=_start_of(until) if until else None,
        by=request.actor,
        at=timezone.now(),
    )
    messages.success(request, "It is asked for. A second person decides.")
    return redirect("gateway:dear-model", asked.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def routing_overview(request: PersonRequest) -> HttpResponse:
    """Show every policy, which models are dear, and what waits for a decision; a POST sets which are dear."""
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
    now = timezone.now()
    form = DearRuleForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _set_rule(request, form, now):
        messages.success(request, "The rule is set.")
        return redirect("gateway:routing-overview")
    context = {
        "policies": overview.all_policies(currency=settings.CURRENCY, at=now),
        "rule": overview.rule_in_force(at=now),
        "concerned": dear.concerned(at=now),
        "requests": list(dear.requests(request.actor)[:50]),
        "form": form,
        "currency": settings.CURRENCY,
        "may_set": request.actor.is_platform(Role.OPERATOR),
    }
    return render(request, "gateway/routing_overview.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def dear_model(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show what an app asks for, with what it costs; a POST decides, takes back or ends it."""
    asked = access.get(dear.requests(request.actor), pk=request_id)
    form = DearNoteForm(request.POST or None)
    now = timezone.now()
    projection = asked.projection or overview.projection_of(asked, currency=settings.CURRENCY, at=now)
    if request.method == "POST" and form.is_valid() and _decided(request, asked, form, projection, now):
        return redirect("gateway:dear-model", asked.pk)
    is_open = asked.state == DearModel.State.PROPOSED
    is_own = asked.proposed_by_id == request.actor.user.pk
    decides = request.actor.is_platform(*dear.DECIDERS)
    context = {
        "asked": asked, "form": form, "projection": projection, "is_open": is_open, "is_own": is_own,
        "may_decide": is_open and decides and not is_own,
        "may_end": asked.state == DearModel.State.APPROVED and decides,
    }  # fmt: skip
    return render(request, "gateway/dear_model.html", context)


def _try(
    app: App, form: PolicyForm, rows: list[dict[str, Any]], models: dict[str, str], *, at: datetime
) -> DryRun | None:
    """Try what the forms say on last week; what is wrong goes to the form."""
    try:
        draft = policies.check(form.policy(rows), models=models)
    except InvalidInput as error:
        _tell(form, error)
        return None
    return dry_run(app, draft, currency=settings.CURRENCY, at=at)


def _save(
    request: PersonRequest,
    app: App,
    form: PolicyForm,
    rows: list[dict[str, Any]],
    models: dict[str, str],
    tried: DryRun,
) -> bool:
    draft = policies.check(form.policy(rows), models=models)
    try:
        saved = policies.save(
            app,
            draft,
            by=request.actor,
            at=timezone.now(),
            replaces=form.cleaned_data["replaces"],
            projection=tried.as_json(),
        )
    except HalfpennyError as error:
        _tell(form, error)
        return False
    messages.success(request, f"Version {saved.number} is saved, and holds from the next call on.")
    return True


def _set_rule(request: PersonRequest, form: DearRuleForm, now: datetime) -> bool:
    said = form.cleaned_data
    try:
        dear.set_rule(
            classes=said["model_classes"],
            output_per_mtok_from=said["output_per_mtok_from"],
            starts_at=_start_of(said["starts_on"]) if said["starts_on"] else now,
            reason=said["reason"],
            by=request.actor,
            at=now,
        )
    except InvalidInput as error:
        _tell(form, error, renamed={"starts_at": "starts_on"})
        return False
    return True


def _decided(
    request: PersonRequest, asked: DearModel, form: DearNoteForm, projection: dict[str, Any], now: datetime
) -> bool:
    note, decision = form.cleaned_data["note"], request.POST.get("decision")
    try:
        if decision in (DearModel.State.APPROVED, DearModel.State.REJECTED):
            dear.decide(asked, to=decision, by=request.actor, at=now, note=note, projection=projection)
        elif decision == "withdraw":
            dear.withdraw(asked, by=request.actor, at=now)
        elif decision == "end":
            dear.end(asked, by=request.actor, at=now, note=note)
        else:
            raise InvalidInput("", "Approve, reject, take back or end.")
    except HalfpennyError as error:
        _tell(form, error)
        asked.refresh_from_db()
        return False
    return True


def _tell(form: Form, error: HalfpennyError, *, renamed: dict[str, str] | None = None) -> None:
    """Put what the domain refuses onto the form: rows are named as a person counts them."""
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        field = (renamed or {}).get(one.field, one.field)
        if field in form.fields:
            form.add_error(field, one.message)
        else:
            form.add_error(None, f"{table.told_field(field)}: {one.message}" if field else one.message)


def _start_of(day: Any) -> datetime:
    return datetime.combine(day, time(), UTC)
