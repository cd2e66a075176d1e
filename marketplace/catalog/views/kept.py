"""Pages of what people keep of the catalogue: saved searches, and apps they ask for."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import saved_searches, wishes
from marketplace.catalog.forms.discovery import SavedSearchForm, WishForm
from marketplace.catalog.forms.filters import filters_of, query_of
from marketplace.core.errors import InvalidInput, NotAllowed

LONGEST_POSTED, MOST_WISHES_SHOWN = 4000, 100


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def searches(request: PersonRequest) -> HttpResponse:
    """List saved searches; with the address of a search: a form to keep it. A POST keeps it."""
    asked = filters_of(_asked(request))
    form = SavedSearchForm(request.POST or None, initial={"name": asked.text.capitalize()})
    if request.method == "POST" and form.is_valid():
        try:
            saved = saved_searches.save(
                **form.cleaned_data,
                query=query_of(asked),
                filters=asked,
                by=request.actor,
                at=timezone.now(),
            )
        except InvalidInput as error:
            form.add_error("name", error.errors[0].message)
        else:
            messages.success(request, f"{saved.name} is saved.")
            return redirect("catalog:searches")
    context = {
        "form": form,
        "query": query_of(asked),
        "has_search": not asked.is_empty(),
        "searches": list(saved_searches.saved_of(request.user)),
    }
    return render(request, "catalog/searches.html", context)


@login_required
@require_POST
def remove_search(request: PersonRequest, search_id: UUID) -> HttpResponse:
    """Remove a saved search."""
    saved = access.get(saved_searches.saved_of(request.user), pk=search_id)
    saved_searches.remove(saved, by=request.actor)
    messages.success(request, f"{saved.name} is removed.")
    return redirect("catalog:searches")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def app_wishes(request: PersonRequest) -> HttpResponse:
    """List apps that people of the organization ask for; a POST asks for one."""
    form = WishForm(request.POST or None, initial={"text": request.GET.get("q", "").replace("\0", "")[:500]})
    if form.is_valid():
        try:
            wishes.ask(text=form.cleaned_data["text"], by=request.actor, at=timezone.now())
        except (InvalidInput, NotAllowed) as error:
            form.add_error(
                "text", error.errors[0].message if isinstance(error, InvalidInput) else error.message
            )
        else:
            messages.success(request, "Makers of your organization are told.")
            return redirect("catalog:wishes")
    context = {"form": form, "wishes": list(wishes.visible_wishes(request.actor)[:MOST_WISHES_SHOWN])}
    return render(request, "catalog/wishes.html", context)


@login_required
@require_POST
def withdraw_wish(request: PersonRequest, wish_id: UUID) -> HttpResponse:
    """Withdraw a wish of one's own."""
    wish = access.get(wishes.visible_wishes(request.actor), pk=wish_id)
    wishes.withdraw(wish, by=request.actor)
    messages.success(request, "Your wish is withdrawn.")
    return redirect("catalog:wishes")


def _asked(request: PersonRequest) -> QueryDict:
    if request.method != "POST":
        return request.GET
    return QueryDict(request.POST.get("query", "")[:LONGEST_POSTED].replace("\0", ""))
