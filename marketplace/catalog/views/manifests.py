"""Pages of manifests: an app as a file, and a file as a draft."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import manifest_files, manifests, queries_creator
from marketplace.catalog.forms.manifest_form import ManifestForm
from marketplace.catalog.manifests import Manifest
from marketplace.catalog.models import Version
from marketplace.core.errors import InvalidInput, NotFound


@login_required
@require_safe
def export(request: PersonRequest, slug: str, form: str) -> HttpResponse:
    """Give the newest version of an app as a file."""
    if form not in manifest_files.MEDIA_TYPES:
        raise NotFound("form of a manifest", form)
    version = queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))
    text = manifest_files.write(manifests.export(version), form=form)
    response = HttpResponse(text, content_type=f"{manifest_files.MEDIA_TYPES[form]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}.{form}"'
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def import_manifest(request: PersonRequest) -> HttpResponse:
    """Take a manifest; a POST checks it, or imports it as a draft."""
    teams = access.own_teams(request.actor, role=Role.CREATOR).order_by("name")
    access.require(teams.exists(), message="This is for creators of a team only.")
    form = ManifestForm(*((request.POST, request.FILES) if request.method == "POST" else ()), teams=teams)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        try:
            manifest = manifests.read(
                manifest_files.read(form.content()), allow_http=bool(settings.EGRESS_ALLOW)
            )
            if request.POST.get("then") != "check":
                return _imported(request, manifest, form)
            context["checked"] = manifest
            context["warnings"] = manifests.warnings_about(manifest)
        except InvalidInput as error:
            context["errors"] = error.errors
    return render(request, "catalog/import_manifest.html", context)


def _imported(request: PersonRequest, manifest: Manifest, form: ManifestForm) -> HttpResponse:
    by, now = request.actor.user, timezone.now()
    app = (
        queries_creator.owned_apps(request.actor).filter(slug=manifest.slug).first()
        if manifest.slug
        else None
    )
    version: Version
    if app is not None:
        version = manifests.import_over(app, manifest, by=by, at=now)
    else:
        version = manifests.import_new(manifest, team=form.cleaned_data["team"], by=by, at=now)
    messages.success(request, f"Imported as the draft of version {version.number}. Nothing is submitted yet.")
    return redirect("catalog:creator-app", version.app.slug)
