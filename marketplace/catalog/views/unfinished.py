"""What people have begun: kept while they type, listed, dropped."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries_creator, templates_library, unfinished
from marketplace.catalog.models import Version
from marketplace.catalog.unfinished_models import UnfinishedForm
from marketplace.core.errors import InvalidInput


@login_required
@require_POST
def keep(request: PersonRequest, form_id: UUID) -> HttpResponse:
    """Keep what is typed so far; a fragment that says so, with the link that brings it back."""
    access.require(bool(request.actor.teams_as(Role.CREATOR)), message="This is for creators of a team only.")
    version = _version(request, request.GET.get("app", ""))
    template = "" if version else templates_library.get_template(request.GET.get("template", "")).key
    context: dict[str, object] = {}
    try:
        kept = unfinished.keep(
            form_id,
            dict(request.POST.lists()),
            template=template,
            version=version,
            by=request.actor.user,
            at=timezone.now(),
        )
    except InvalidInput as error:
        context["problem"] = error.errors[0].message
    else:
        context |= {"kept": kept, "url": resume_url(kept) if kept else ""}
    return render(request, "catalog/_kept_form.html", context)


@login_required
@require_safe
def begun(request: PersonRequest) -> HttpResponse:
    """List what the person has begun; a fragment of the page of their apps, and a page of its own."""
    rows = [(one, resume_url(one)) for one in unfinished.own(request.actor)]
    template = "catalog/_begun.html" if request.htmx and not request.htmx.boosted else "catalog/begun.html"
    return render(request, template, {"rows": rows})


@login_required
@require_POST
def drop(request: PersonRequest, form_id: UUID) -> HttpResponse:
    """Forget what the person has begun."""
    unfinished.drop(form_id, by=request.actor.user)
    messages.success(request, "Dropped.")
    return redirect("catalog:creator-apps")


def resumed(
    request: PersonRequest, *, template: str = "", version: Version | None = None
) -> UnfinishedForm | None:
    """Return what the address asks to go on with; raises NotFound when it is not the person's, or of another form."""
    wanted = request.GET.get("resume")
    if not wanted:
        return None
    return access.get(unfinished.own(request.actor).filter(template=template, version=version), pk=wanted)


def typed_again(kept: UnfinishedForm) -> QueryDict:
    """Return what was typed, as a browser would send it."""
    data = QueryDict(mutable=True)
    for name, values in kept.data.items():
        data.setlist(name, values)
    return data


def resume_url(kept: UnfinishedForm) -> str:
    """Return the address that goes on with it."""
    if kept.version is not None:
        return f"{reverse('catalog:creator-edit', args=[kept.version.app.slug])}?resume={kept.pk}"
    return f"{reverse('catalog:creator-new', args=[kept.template])}?resume={kept.pk}"


def _version(request: PersonRequest, slug: str) -> Version | None:
    if not slug:
        return None
    return queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))
