"""Pages of the checks of a version: how far they are, what they found, one of them again, the rules."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, check_runs, queries_checks
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import Version
from marketplace.catalog.scans.rules import rules_by_check
from marketplace.core.errors import Conflict


@login_required
@require_safe
def checks(request: PersonRequest, slug: str, version_number: int) -> HttpResponse:
    """Show the checks of a version; while one is under way, htmx asks for the fragment every second."""
    version = _visible(request, slug, version_number)
    now = timezone.now()
    page = queries_checks.checks_page(version, actor=request.actor, at=now)
    began, ended = version.submitted_at or version.created_at, _ended_at(page)
    context: dict[str, Any] = {
        "page": page,
        "version": version,
        "about": about.of_version(version),
        "elapsed_ms": int(((ended or now) - began).total_seconds() * 1000),
        "review": version.reviews.order_by("-opened_at").first() if page.is_over else None,
        "can_submit": page.is_own and page.is_over and version.is_editable() and version.submitted_at,
        "can_check_again": page.is_own and page.are_calls_over and version.state == Version.State.CHECKING,
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(request, "catalog/_checks.html" if is_fragment else "catalog/checks.html", context)


@login_required
@require_safe
def report(request: PersonRequest, slug: str, version_number: int) -> HttpResponse:
    """Download what the checks of a version found."""
    version = _visible(request, slug, version_number)
    page = queries_checks.checks_page(version, actor=request.actor, at=timezone.now())
    name = f"checks-{version.app.slug}-{version.number}.json"
    response = JsonResponse(queries_checks.report(page), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@login_required
@require_POST
def run_again(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Queue one check again."""
    run = access.get(queries_checks.visible_runs(request.actor), pk=run_id)
    try:
        check_runs.run_again(run.version, name=run.name, by=request.actor.user, at=timezone.now())
    except Conflict as error:
        messages.warning(request, error.message)
    return _back(run)


@login_required
@require_POST
def cancel(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """End a check that is under way."""
    run = access.get(queries_checks.visible_runs(request.actor), pk=run_id)
    try:
        check_runs.cancel(run, by=request.actor.user, at=timezone.now())
    except Conflict as error:
        messages.warning(request, error.message)
    return _back(run)


@login_required
@require_safe
def rules(request: PersonRequest) -> HttpResponse:
    """Explain every rule: what it finds, why it matters, what to do."""
    return render(request, "catalog/check_rules.html", {"groups": rules_by_check()})


def _visible(request: PersonRequest, slug: str, version_number: int) -> Version:
    return access.get(queries_checks.visible_versions(request.actor), app__slug=slug, number=version_number)


def _back(run: CheckRun) -> HttpResponse:
    return redirect("catalog:checks", run.version.app.slug, run.version.number)


def _ended_at(page: queries_checks.ChecksPage) -> Any:
    ends = [line.run.ended_at for line in page.lines] + [page.calls.ended_at if page.calls else None]
    return max(filter(None, ends), default=None) if page.is_over else None
