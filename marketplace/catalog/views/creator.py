"""Pages of a creator: their apps, the form, one app with its history, a check as it runs."""

from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import (
    about,
    checks,
    declared,
    drafts,
    language_models,
    plans,
    queries_creator,
    queries_review,
    submissions,
    templates_library,
    unfinished,
)
from marketplace.catalog.forms import app_form
from marketplace.catalog.forms.app_form import AppEditor, AppForm
from marketplace.catalog.forms.decision_form import ReasonForm
from marketplace.catalog.forms.inputs_form import bound_rows, fresh_rows
from marketplace.catalog.models import App, SmokeRun, Version
from marketplace.catalog.plan_terms import PlanTerms, terms_of
from marketplace.catalog.previews import draw_card
from marketplace.catalog.price_words import price_text
from marketplace.catalog.timeline import timeline
from marketplace.catalog.unfinished_models import UnfinishedForm
from marketplace.catalog.views.hooks import find_url
from marketplace.catalog.views.unfinished import resumed, typed_again
from marketplace.core.errors import InvalidInput

PAGE_SIZE = 25


@login_required
@require_safe
def my_apps(request: PersonRequest) -> HttpResponse:
    """List the apps of the person's teams, newest first, with what is due next."""
    owned = queries_creator.with_versions(queries_creator.owned_apps(request.actor)).order_by("-pk")
    page = Paginator(owned, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(row, find_url("metering:app-summary", row.app.slug)) for row in queries_creator.rows(list(page))]
    context = {"page": page, "rows": rows, "templates": templates_library.all_templates()[:3]}
    return render(request, "catalog/creator_apps.html", context)


@login_required
@require_safe
def choose_template(request: PersonRequest) -> HttpResponse:
    """Offer the templates an app can start from."""
    _require_creator(request)
    shown = [
        (one, price_text(one.plan, currency=settings.CURRENCY)) for one in templates_library.all_templates()
    ]
    return render(request, "catalog/choose_template.html", {"templates": shown})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_app(request: PersonRequest, template_key: str) -> HttpResponse:
    """Show the form filled from a template; a POST makes the app."""
    template = templates_library.get_template(template_key)
    _require_creator(request)
    teams = access.own_teams(request.actor, role=Role.CREATOR).order_by("name")
    initial = app_form.initial_of_template(template, contact=request.actor.user.email, team=teams.first())
    kept = resumed(request, template=template.key)
    form = AppForm(
        _typed(request, kept),
        kind=template.kind,
        teams=teams,
        models=language_models.choosable(),
        currency=settings.CURRENCY,
        initial=initial,
    )
    editor = _editor(request, form, rows=app_form.rows_of_template(template), kept=kept)
    if _is_saved(request, editor):
        version = drafts.create_from_template(
            template,
            team=form.cleaned_data["team"],
            by=request.actor.user,
            at=timezone.now(),
            changes=editor.changes,
        )
        return _after_saving(request, version)
    return _form_page(
        request, editor, title=f"New app: {template.name}", icon=template.about["icon"], template=template.key
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_app(request: PersonRequest, slug: str) -> HttpResponse:
    """Edit the draft of an app; a POST saves it."""
    version = _own_version(request, slug)
    if not version.is_editable():
        raise drafts.NotEditable(version)
    plan = plans.plan_of(version)
    kept = resumed(request, version=version)
    form = AppForm(
        _typed(request, kept),
        kind=version.app.kind,
        teams=None,
        models=language_models.choosable(),
        currency=version.app.owner_team.organization.currency,
        initial=app_form.initial_of_version(version, terms_of(plan) if plan else PlanTerms()),
    )
    editor = _editor(request, form, rows=app_form.rows_of_version(version), kept=kept)
    if _is_saved(request, editor):
        drafts.edit(version, by=request.actor.user, at=timezone.now(), changes=editor.changes)
        return _after_saving(request, version)
    presentation = about.of_version(version)
    return _form_page(
        request, editor, title=f"Edit {presentation['name']}", icon=presentation["icon"], version=version
    )


@login_required
@require_safe
def preview(request: PersonRequest) -> HttpResponse:
    """Draw the card of an app from what is typed; a fragment for htmx."""
    return render(
        request, "catalog/_preview_card.html", {"preview": draw_card(request.GET, settings.CURRENCY)}
    )


@login_required
@require_safe
def app(request: PersonRequest, slug: str) -> HttpResponse:
    """Show one app to its makers: state, what is next, price, history."""
    page = queries_creator.app_page(request.actor, slug=slug)
    context = {
        "page": page,
        "about": about.of_version(page.version),
        "price": price_text(page.terms, currency=page.plan.currency) if page.terms and page.plan else "",
        "timeline": timeline(page.versions),
        "changes": _changes(page.version, page.listed_version),
        "declared": declared.newest(page.app),
        "summary_url": find_url("metering:app-summary", slug) if page.listed_version else "",
        "limits_url": find_url("quotas:limits", "app", page.app.pk) if page.listed_version else "",
        "catalog_url": find_url("catalog:listing", slug) if page.listed_version else "",
    }
    return render(request, "catalog/creator_app.html", context)


@login_required
@require_POST
def submit(request: PersonRequest, slug: str) -> HttpResponse:
    """Hand the draft in and follow its check; what is missing leads back to the form."""
    return _submit(request, _own_version(request, slug))


@login_required
@require_POST
def check_again(request: PersonRequest, slug: str) -> HttpResponse:
    """Queue another check of a version whose last one could not be finished."""
    run = submissions.check_again(_own_version(request, slug), by=request.actor.user, at=timezone.now())
    return redirect("catalog:check", run.pk)


@login_required
@require_POST
def start_version(request: PersonRequest, slug: str) -> HttpResponse:
    """Start the next version as a copy of the listed one."""
    own = access.get(queries_creator.owned_apps(request.actor), slug=slug)
    version = drafts.start_next_version(own, by=request.actor.user, at=timezone.now())
    messages.success(
        request, f"Version {version.number} started. The listed one stays as it is until this is approved."
    )
    return redirect("catalog:creator-edit", slug)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: PersonRequest, slug: str) -> HttpResponse:
    """Ask whether to take the newest version back; a POST does it."""
    version = _own_version(request, slug)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        submissions.withdraw(version, by=request.actor.user, at=timezone.now(), reason=reason)
        messages.success(request, f"Version {version.number} is withdrawn.")
        return redirect("catalog:creator-app", slug)
    context = {"version": version, "form": form, "about": about.of_version(version)}
    return render(request, "catalog/withdraw.html", context)


@login_required
@require_safe
def check(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Show a check; while it runs, htmx asks for the fragment every second."""
    run = access.get(queries_creator.visible_runs(request.actor), pk=run_id)
    context = _check_context(request, run)
    template = (
        "catalog/_check_run.html" if request.htmx and not request.htmx.boosted else "catalog/check.html"
    )
    return render(request, template, context)


def _check_context(request: PersonRequest, run: SmokeRun) -> dict[str, Any]:
    version = run.version
    is_given_up = checks.is_given_up(run)
    is_over = is_given_up or run.state not in (SmokeRun.State.QUEUED, SmokeRun.State.RUNNING)
    is_own = version.app.owner_team_id in request.actor.teams_as(Role.CREATOR)
    is_last = is_over and not version.smoke_runs.filter(created_at__gt=run.created_at).exists()
    began = run.started_at or run.created_at
    return {
        "run": run,
        "about": about.of_version(version),
        "version": version,
        "is_over": is_over,
        "is_given_up": is_given_up,
        "is_own": is_own,
        "findings": run.finding.splitlines(),
        "calls": run.calls.order_by("number"),
        "elapsed_ms": int(((run.ended_at or timezone.now()) - began).total_seconds() * 1000),
        "can_submit": is_own and is_last and version.is_editable(),
        "can_check_again": is_own and is_last and version.state == Version.State.CHECKING,
        "review": version.reviews.filter(smoke_run=run).first() if is_over else None,
        "cost_per_1000": run.mean_cost * 1000 if run.mean_cost is not None else None,
    }


def _own_version(request: PersonRequest, slug: str) -> Version:
    return queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))


def _require_creator(request: PersonRequest) -> None:
    access.require(bool(request.actor.teams_as(Role.CREATOR)), message="This is for creators of a team only.")


def _typed(request: PersonRequest, kept: UnfinishedForm | None) -> QueryDict | None:
    """Return what the form shows: what was sent, else what was begun and kept, else its beginning (None)."""
    return request.POST or (typed_again(kept) if kept else None)


def _editor(
    request: PersonRequest, form: AppForm, *, rows: list[dict[str, Any]], kept: UnfinishedForm | None
) -> AppEditor:
    if request.method == "POST":
        return AppEditor(
            form,
            bound_rows(request.POST, add_row="add_input" in request.POST),
            allow_http=bool(settings.EGRESS_ALLOW),
        )
    if kept is not None:
        editor = AppEditor(form, bound_rows(typed_again(kept)), allow_http=bool(settings.EGRESS_ALLOW))
        editor.forget_errors()
        return editor
    return AppEditor(form, fresh_rows(rows), allow_http=bool(settings.EGRESS_ALLOW))


def _is_saved(request: PersonRequest, editor: AppEditor) -> bool:
    """Tell whether the form is to be saved; asking for another row of inputs only shows it again."""
    if request.method != "POST":
        return False
    if "add_input" in request.POST:
        editor.forget_errors()
        return False
    return editor.is_valid()


def _after_saving(request: PersonRequest, version: Version) -> HttpResponse:
    if form_id := _form_id(request.POST.get("unfinished")):
        unfinished.drop(form_id, by=request.actor.user)
    if request.POST.get("then") == "submit":
        return _submit(request, version)
    messages.success(request, "Saved as a draft.")
    return redirect("catalog:creator-app", version.app.slug)


def _form_id(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _submit(request: PersonRequest, version: Version) -> HttpResponse:
    try:
        submissions.submit(
            version, by=request.actor.user, at=timezone.now(), allow_http=bool(settings.EGRESS_ALLOW)
        )
    except InvalidInput as error:
        for one in error.errors:
            messages.error(request, f"{one.field.replace('_', ' ').capitalize()}: {one.message}")
        return redirect("catalog:creator-edit", version.app.slug)
    return redirect("catalog:checks", version.app.slug, version.number)


def _form_page(
    request: PersonRequest,
    editor: AppEditor,
    *,
    title: str,
    icon: str,
    version: Version | None = None,
    template: str = "",
) -> HttpResponse:
    typed = editor.form.data if editor.form.is_bound else editor.form.initial
    context = {
        "form": editor.form,
        "rows": editor.rows,
        "title": title,
        "version": version,
        "is_http": editor.form.kind == App.Kind.HTTP,
        "preview": draw_card(typed, editor.form.currency, icon=icon),
        "estimate_url": find_url("billing:estimate"),
        "call_cost_url": find_url("gateway:call-cost"),
        "form_id": _form_id(request.POST.get("unfinished") or request.GET.get("resume")) or uuid4(),
        "form_of": f"app={version.app.slug}" if version else f"template={template}",
        "is_resumed": "resume" in request.GET and request.method != "POST",
    }
    return render(request, "catalog/app_form.html", context)


def _changes(version: Version, listed: Version | None) -> list[queries_review.Change]:
    if listed is None or listed.pk == version.pk:
        return []
    # What is listed is what was approved last: an approval replaces it in the same transaction.
    return queries_review.differences(version, before=listed)
