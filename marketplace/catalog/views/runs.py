"""Pages of runs: a person's own, one of them, and one that somebody shared."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import kept_runs, outputs
from marketplace.catalog.models import Version
from marketplace.catalog.run_models import KeptRun
from marketplace.catalog.views.hooks import find_url
from marketplace.core import csv
from marketplace.core.errors import NotFound

PAGE_SIZE = 25
SHARE_DAYS = (1, 7, 30)
TYPES = {"txt": "text/plain", "json": "application/json", "csv": "text/csv"}


@login_required
@require_safe
def runs(request: PersonRequest) -> HttpResponse:
    """List the person's own runs, newest first; ``app`` narrows to one app."""
    own = kept_runs.own(request.actor, at=timezone.now())
    slug = request.GET.get("app", "")
    if slug:
        own = own.filter(app__slug=slug) if slug.isprintable() else own.none()
    page = Paginator(own, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "app": slug, "keep_days": settings.RUN_RETENTION_DAYS}
    return render(request, "catalog/runs.html", context)


@login_required
@require_safe
def run(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Show one of the person's runs."""
    now = timezone.now()
    one = _own(request, run_id)
    link = kept_runs.share_in_force(one, at=now)
    context = shown(one) | {
        "is_interrupted": kept_runs.is_interrupted(one, at=now),
        "share": link,
        "share_url": settings.PUBLIC_URL + reverse("catalog:shared-run", args=[link.pk]) if link else "",
        "share_days": SHARE_DAYS,
        "use_url": find_url("gateway:use", one.app.slug),
        "rate_url": find_url("gateway:rate-run", one.pk) if one.model else "",
    }
    template = "catalog/_run_output.html" if request.htmx and not request.htmx.boosted else "catalog/run.html"
    return render(request, template, context)


@login_required
@require_safe
def shared_run(request: PersonRequest, share_id: UUID) -> HttpResponse:
    """Show a run that somebody of the same organization shared."""
    link = access.get(kept_runs.shared_with(request.actor, at=timezone.now()), pk=share_id)
    return render(request, "catalog/shared_run.html", shown(link.run) | {"share": link})


@login_required
@require_safe
def output(request: PersonRequest, run_id: UUID, form: str) -> HttpResponse:
    """Give the output of one of the person's runs as a file."""
    one = _own(request, run_id)
    if form not in forms_of(one):
        raise NotFound("form of this output", form)
    response = HttpResponse(_file(one, form), content_type=f"{TYPES[form]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{one.app.slug}.{form}"'
    return response


@login_required
@require_POST
def share(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Make a link to a run, or take it back."""
    one, now = _own(request, run_id), timezone.now()
    if request.POST.get("action") == "revoke":
        kept_runs.unshare(one, by=request.actor.user, at=now)
        messages.success(request, "The link works no longer.")
    else:
        days = request.POST.get("days", "")
        kept_runs.share(one, days=int(days) if days.isdecimal() else 0, by=request.actor.user, at=now)
    return redirect("catalog:run", run_id)


@login_required
@require_POST
def forget(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Delete one of the person's runs."""
    kept_runs.forget(_own(request, run_id))
    messages.success(request, "Deleted. What the run used stays on its bill.")
    return redirect("catalog:runs")


def shown(one: KeptRun) -> dict[str, Any]:
    """Return what every page of a run shows."""
    version = one.version
    return {
        "run": one,
        "app": one.app,
        "given": list(_given(version, one.data).items()),
        "table": outputs.table_of(one.output, version.output_schema)
        if version.output_format == "table"
        else None,
        "text": one.output if isinstance(one.output, str) else _pretty(one.output),
        "forms": forms_of(one),
    }


def forms_of(one: KeptRun) -> list[str]:
    """Return the forms in which an output can be had as a file."""
    if one.ended_at is None or one.failure:
        return []
    if isinstance(one.output, str):
        return ["txt"]
    is_table = outputs.table_of(one.output, one.version.output_schema) is not None
    return ["csv", "json"] if is_table and one.version.output_format == "table" else ["json"]


def _given(version: Version, data: Mapping[str, Any]) -> dict[str, Any]:
    described = version.input_schema.get("properties", {})
    return {str(described.get(name, {}).get("title", name)): value for name, value in data.items()}


def _file(one: KeptRun, form: str) -> str:
    if form == "csv":
        table = outputs.table_of(one.output, one.version.output_schema)
        return "".join(csv.to_csv(table.columns, table.rows)) if table else ""
    return str(one.output) if form == "txt" else _pretty(one.output) + "\n"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _own(request: PersonRequest, run_id: UUID) -> KeptRun:
    return access.get(kept_runs.own(request.actor, at=timezone.now()), pk=run_id)
