"""Pages of events: the list behind a number, the story of one, and what came twice with other content."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import InvalidInput
from metering import conflicts as event_conflicts
from metering import event_lists, event_stories, queries, route_tags, usage_addresses
from metering.corrected import may_correct
from metering.event_stories import ArchivedEvent
from metering.forms import CHOSEN, PRESETS
from metering.scopes import UsageScope
from metering.usage_events import cursors, pages
from metering.usage_events.forms import EventsForm, FindForm
from metering.usage_options import filter_options
from metering.usage_pages import address

PAGE_SIZE = 50
CONFLICTS_ON_PAGE = 20


@login_required
@require_safe
@vary_on_headers("HX-Request")
def events(request: PersonRequest) -> HttpResponse:
    """List the events behind a number; htmx gets the list with its controls, everybody else the page."""
    visible = UsageScope.of(request.actor)
    form = EventsForm(request.GET, now=timezone.now(), options=filter_options(visible))
    context: dict[str, Any] = {"form": form, "find": FindForm()}
    if form.is_valid():
        try:
            context |= _listed(form, request.GET, visible)
        except InvalidInput as error:
            for one in error.errors:
                form.add_error(one.field if one.field in form.fields else None, one.message)
    template = "metering/_events.html" if _is_fragment(request) else "metering/events.html"
    return render(request, template, context)


@login_required
@require_safe
def find_event(request: PersonRequest) -> HttpResponse:
    """Lead from an app and an id to the story of that event."""
    form = FindForm(request.GET)
    if not form.is_valid():
        return render(request, "metering/find_event.html", {"find": form})
    # Also when there is none: the page of the event answers who may not see it, and what does not exist, alike.
    return redirect("metering:event", form.cleaned_data["app"], form.cleaned_data["id"])


@login_required
@require_safe
def event(request: PersonRequest, slug: str, event_id: str) -> HttpResponse:
    """Tell what became of one event."""
    story = event_stories.get(slug, event_id, visible=UsageScope.of(request.actor))
    context: dict[str, Any] = {"story": story, "hour_url": pages.hour_url(story.app, story.hour)}
    if isinstance(story, ArchivedEvent):
        return render(request, "metering/archived_event.html", context)
    context |= {
        "flags": pages.flags_of(story),
        "tags": route_tags.told(story.tags),
        "quantities": pages.quantity_rows(story),
        "amounts": pages.amount_rows(story),
        "dimensions": story.belongs.parts.values(),
        "bill_url": reverse("billing:event-bill", args=[slug, event_id]),
        "corrected_url": pages.story_url(slug, story.corrects) if story.corrects else "",
        "corrections": [(one, pages.story_url(slug, one.event_id)) for one in story.corrections],
        "can_correct": not story.corrects and may_correct(request.actor, story.attribution),
        "sees_prices": request.actor.is_platform(Role.OPERATOR, Role.FINANCE),
    }
    return render(request, "metering/event.html", context)


@login_required
@require_safe
def conflicts(request: PersonRequest) -> HttpResponse:
    """List reports under known ids with other content, beside what counts."""
    apps = queries.watched_apps(request.actor)
    app = access.get(apps, slug=request.GET["app"]) if request.GET.get("app") else None
    rows = event_conflicts.of_apps(apps.filter(pk=app.pk) if app else apps).select_related("app")
    page = Paginator(rows, CONFLICTS_ON_PAGE).get_page(request.GET.get("page"))
    found = event_conflicts.describe(list(page.object_list))
    context = {
        "app": app,
        "page": page,
        "conflicts": [(one, pages.story_url(one.app_slug, one.event_id)) for one in found],
        "kept_days": event_conflicts.KEPT_FOR.days,
    }
    return render(request, "metering/conflicts.html", context)


def _listed(form: EventsForm, query: QueryDict, visible: UsageScope) -> dict[str, Any]:
    asked = form.asked()
    selection = event_lists.select(**asked, visible=visible)
    report = queries.usage(**asked, visible=visible)
    behind = {**asked, "from_at": selection.from_at, "to_at": selection.to_at}
    page = event_lists.page(selection, size=PAGE_SIZE, **cursors.sides(cursors.read(query.get("cursor", ""))))
    return {
        "selection": selection,
        "totals": report.totals,
        "currency": report.currency or settings.CURRENCY,
        "rows": pages.rows_of(page.events),
        "archived": event_lists.archived_parts(selection),
        "newer_url": _turned(query, page.newer, is_to_older=False),
        "older_url": _turned(query, page.older, is_to_older=True),
        "newest_url": address(query, {"cursor": ""}),
        "tabs": _tabs(form, query),
        "chips": _chips(form, query),
        "most_exported": event_lists.MOST_EXPORTED,
        "csv_url": usage_addresses.events_file(**behind, kind="csv"),
        "jsonl_url": usage_addresses.events_file(**behind, kind="jsonl"),
        "usage_url": usage_addresses.usage_of_events(**behind),
    }


def _turned(query: QueryDict, place: event_lists.Place | None, *, is_to_older: bool) -> str:
    return address(query, {"cursor": cursors.write(place, is_to_older=is_to_older)}) if place else ""


def _tabs(form: EventsForm, query: QueryDict) -> list[dict[str, Any]]:
    no_days = {"first": "", "last": "", "from": "", "to": "", "cursor": ""}
    is_preset = not form.instants
    tabs = [
        {
            "label": f"{days} days",
            "url": address(query, {**no_days, "days": str(days)}),
            "is_current": is_preset and form.preset == days,
        }
        for days in PRESETS
    ]
    custom = {**no_days, "days": "", "first": str(form.first_day), "last": str(form.last_day)}
    is_custom = not is_preset or not form.preset
    return [*tabs, {"label": "Choose days", "url": address(query, custom), "is_current": is_custom}]


def _chips(form: EventsForm, query: QueryDict) -> list[tuple[str, str]]:
    """List what no control is shown for, each with the address without it."""
    chips = [
        (f"{form.fields[name].label}: {', '.join(values)}", address(query, {name: "", "cursor": ""}))
        for name, values in form.filters.items()
        if name not in CHOSEN
    ]
    if form.instants and form.tells_hours:
        from_at, to_at = form.instants
        days = {"first": str(form.first_day), "last": str(form.last_day), "from": "", "to": "", "cursor": ""}
        chips.insert(0, (f"{from_at:%-d %b %H:%M} to {to_at:%-d %b %H:%M}", address(query, days)))
    return chips


def _is_fragment(request: PersonRequest) -> bool:
    return bool(request.htmx) and not request.htmx.boosted
