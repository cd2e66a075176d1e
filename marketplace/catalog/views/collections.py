"""Pages of collections, comparison, versions and what is similar."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import comparing, curation, queries, similar, versions
from marketplace.catalog.collection_models import Collection
from marketplace.catalog.curation import Item
from marketplace.catalog.forms.discovery import CollectionForm, lines_of
from marketplace.catalog.models import App
from marketplace.catalog.views.cards import cards_of
from marketplace.catalog.views.guests import actor_or_guest, guests_where_allowed
from marketplace.core.errors import InvalidInput


@guests_where_allowed
@require_safe
def collections(request: PersonRequest) -> HttpResponse:
    """List collections."""
    actor = actor_or_guest(request)
    context = {
        "collections": list(curation.visible_collections(actor)),
        "may_edit": actor is not None and actor.is_platform(Role.OPERATOR),
    }
    return render(request, "catalog/collections.html", context)


@guests_where_allowed
@require_safe
def collection(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the listings of a collection, in order and with their notes."""
    actor = actor_or_guest(request)
    found = access.get(curation.visible_collections(actor), slug=slug)
    choices = curation.choices(found, actor=actor)
    context = {
        "collection": found,
        "cards": list(zip(cards_of(one.listing for one in choices), choices, strict=True)),
        "may_edit": actor is not None and actor.is_platform(Role.OPERATOR),
    }
    return render(request, "catalog/collection.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_collection(request: PersonRequest) -> HttpResponse:
    """Make a collection."""
    access.require_platform(request.actor, Role.OPERATOR)
    return _form(request, None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_collection(request: PersonRequest, slug: str) -> HttpResponse:
    """Change a collection."""
    access.require_platform(request.actor, Role.OPERATOR)
    return _form(request, access.get(Collection.objects.all(), slug=slug))


@login_required
@require_POST
def remove_collection(request: PersonRequest, slug: str) -> HttpResponse:
    """Remove a collection; its listings stay."""
    access.require_platform(request.actor, Role.OPERATOR)
    found = access.get(Collection.objects.all(), slug=slug)
    curation.remove(found, by=request.actor, at=timezone.now())
    messages.success(request, f"{found} is removed.")
    return redirect("catalog:collections")


@guests_where_allowed
@require_safe
def compare(request: PersonRequest) -> HttpResponse:
    """Put listings side by side: /compare/?app=one&app=other."""
    rows = comparing.compare(request.GET.getlist("app"), actor=actor_or_guest(request))
    context = {"compared": rows, "currency": settings.CURRENCY, "most": comparing.MOST_COMPARED}
    return render(request, "catalog/compare.html", context)


@guests_where_allowed
@require_safe
def version_history(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the versions that were listed of an app, and what each changed for those who call it."""
    listing = queries.listing_for(actor_or_guest(request), slug=slug)
    context = {"app": listing.app, "versions": versions.history(listing)}
    return render(request, "catalog/versions.html", context)


@guests_where_allowed
@require_safe
def similar_apps(request: PersonRequest, slug: str) -> HttpResponse:
    """Show apps like one, and why; a fragment of its page, or a page of its own."""
    actor = actor_or_guest(request)
    listing = queries.listing_for(actor, slug=slug)
    is_fragment = request.htmx and not request.htmx.boosted
    context = {"app": listing.app, "similar": similar.similar_to(listing, actor=actor)}
    return render(request, "catalog/_similar.html" if is_fragment else "catalog/similar.html", context)


def _form(request: PersonRequest, found: Collection | None) -> HttpResponse:
    form = CollectionForm(
        request.POST or None, apps=App.objects.filter(listing__isnull=False), initial=_initial(found)
    )
    if form.is_valid():
        try:
            made = curation.write(**form.cleaned_data, by=request.actor, at=timezone.now())
        except InvalidInput as error:
            form.add_error(error.field if error.field in form.fields else None, error.errors[0].message)
        else:
            messages.success(request, f"{made} is saved.")
            return redirect("catalog:collection", made.slug)
    return render(request, "catalog/collection_form.html", {"form": form, "collection": found})


def _initial(found: Collection | None) -> dict[str, object]:
    if found is None:
        return {}
    items = [Item(one.app, one.note) for one in found.items.select_related("app").order_by("position")]
    words = {"slug": found.slug, "title": found.title, "summary": found.summary, "is_shown": found.is_shown}
    return words | {"items": lines_of(items)}
