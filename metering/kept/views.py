"""Pages of what is kept of usage: saved views, reports by mail, and ending those from a mail."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput
from metering import usage_addresses
from metering.dashboards import tabs
from metering.kept import mails, saved_views, schedules
from metering.kept.forms import ScheduleForm, ViewForm

LONGEST_POSTED = 4000


@login_required
@require_safe
def kept(request: PersonRequest) -> HttpResponse:
    """List saved views and reports by mail; with the address of a question: forms to keep it."""
    query = usage_addresses.normalized(request.GET)
    name = usage_addresses.in_words(request.GET)
    return _page(request, query=query, view_form=ViewForm(initial={"name": name}))


@login_required
@require_POST
def save_view(request: PersonRequest) -> HttpResponse:
    """Keep a question under a name."""
    form, query = ViewForm(request.POST), usage_addresses.normalized(_asked(request))
    if form.is_valid():
        try:
            view = saved_views.save_view(
                name=form.cleaned_data["name"],
                query=query,
                is_shared=form.cleaned_data["is_shared"],
                at=timezone.now(),
                by=request.actor,
            )
        except (InvalidInput, Conflict) as error:
            form.add_error(
                "name", error.errors[0].message if isinstance(error, InvalidInput) else error.message
            )
        else:
            messages.success(request, f"{view.name} is saved.")
            return redirect("metering:kept")
    return _page(request, query=query, view_form=form)


@login_required
@require_POST
def remove_view(request: PersonRequest, view_id: UUID) -> HttpResponse:
    """Remove a saved view."""
    view = access.get(saved_views.visible_views(request.actor), pk=view_id)
    saved_views.remove_view(view, by=request.actor)
    messages.success(request, f"{view.name} is removed.")
    return redirect("metering:kept")


@login_required
@require_POST
def send_now(request: PersonRequest) -> HttpResponse:
    """Mail a question to the person who asks."""
    asked = _asked(request)
    mails.request(
        request.actor.user,
        name=usage_addresses.in_words(asked),
        query=usage_addresses.normalized(asked),
        at=timezone.now(),
    )
    messages.success(request, f"The report is on its way to {request.actor.user.email}.")
    return redirect("metering:kept")


@login_required
@require_POST
def schedule(request: PersonRequest) -> HttpResponse:
    """Mail a question every week or month from now on."""
    form, asked = ScheduleForm(request.POST), _asked(request)
    if not form.is_valid():
        raise InvalidInput("cadence", "Choose weekly or monthly.")
    schedules.subscribe(
        request.actor.user,
        name=usage_addresses.in_words(asked),
        query=usage_addresses.normalized(asked, with_days=False),
        cadence=form.cleaned_data["cadence"],
        at=timezone.now(),
    )
    messages.success(request, "You get it by mail from the next time on.")
    return redirect("metering:kept")


@login_required
@require_POST
def stop_schedule(request: PersonRequest, schedule_id: UUID) -> HttpResponse:
    """End a report by mail of one's own."""
    one = access.get(schedules.schedules_of(request.actor.user), pk=schedule_id)
    schedules.stop(one, at=timezone.now(), by=request.actor.user)
    messages.success(request, f"{one.name} is not mailed any more.")
    return redirect("metering:kept")


# The token is what allows it: a mail program posts here without a session, and so without a token of a form.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether to end a report by mail, without signing in; a POST ends it."""
    one = schedules.by_token(token)
    if request.method == "POST":
        schedules.stop(one, at=timezone.now(), by=None)
        one.refresh_from_db()
    return render(request, "metering/unsubscribe.html", {"schedule": one})


def _asked(request: PersonRequest) -> QueryDict:
    return QueryDict(request.POST.get("query", "")[:LONGEST_POSTED].replace("\0", ""))


def _page(request: PersonRequest, *, query: str, view_form: ViewForm) -> HttpResponse:
    context: dict[str, Any] = {
        "sections": tabs.sections(request.actor, current="kept"),
        "query": query,
        "has_question": bool(query),
        "words": usage_addresses.in_words(QueryDict(query)),
        "view_form": view_form,
        "schedule_form": ScheduleForm(),
        "views": list(saved_views.visible_views(request.actor)),
        "schedules": list(schedules.schedules_of(request.actor.user)),
        "mail_address": request.actor.user.email,
    }
    return render(request, "metering/kept.html", context)
