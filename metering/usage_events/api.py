"""/usage/events and /usage/conflicts: what a number is made of, and what came twice with other content."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.csv import CONTENT_TYPE
from marketplace.core.errors import InvalidInput
from marketplace.core.pagination import TimeCursorPagination
from marketplace.core.renderers import CSVRenderer, JSONLinesRenderer
from marketplace.core.streaming import stream_file
from metering import conflicts, event_lists, queries, usage_files
from metering.event_lists import Page, Selection
from metering.models import EventConflict
from metering.scopes import UsageScope
from metering.usage_events import cursors, files
from metering.usage_parameters import (
    FILTER_PARAMETERS,
    FILTERS,
    filters_asked,
    parameter,
    refuse_unknown,
    time_asked,
)

PAGE_SIZE, LARGEST_PAGE = 100, 1_000
KNOWN_PARAMETERS = ("from", "to", "format", "cursor", "page_size", *FILTERS)
WRITERS = {"csv": (files.csv_lines, CONTENT_TYPE), "jsonl": (files.json_lines, "application/x-ndjson")}


class EventsView(APIView):
    """The events behind a number of usage."""

    renderer_classes = (JSONRenderer, CSVRenderer, JSONLinesRenderer)

    @extend_schema(
        operation_id="usage_events",
        tags=["usage"],
        summary="The events behind a number of usage",
        description=(
            "The same time and filters as those of /usage select the same usage, so `totals` are the same numbers. The newest "
            "come first. Pages move by the place of their last event: events that come meanwhile move no others. With "
            f"format=csv or jsonl all of them, at most {event_lists.MOST_EXPORTED:,}. `archived` names months whose events "
            "are in the archive: they count in `totals` and have no rows."
        ),
        parameters=[
            parameter("from", "A day or an RFC 3339 time, included; widens to the full hour. Default: 30 days ago."),
            parameter("to", f"A day or an RFC 3339 time, excluded, at most {event_lists.MOST_DAYS} days later. Default: now."),
            parameter("format", "json (a page), csv or jsonl (all).", enum=("json", "csv", "jsonl")),
            parameter("cursor", "As `next` and `previous` have it."),
            OpenApiParameter("page_size", int, description=f"At most {LARGEST_PAGE}; default {PAGE_SIZE}."),
            *FILTER_PARAMETERS,
        ],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
        },
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        query = request.query_params
        refuse_unknown(query, KNOWN_PARAMETERS)
        from_at, to_at = time_asked(query, now=timezone.now())
        asked: dict[str, Any] = {"from_at": from_at, "to_at": to_at, "filters": filters_asked(query)}
        visible = UsageScope.of(actor_of(request))
        selection = event_lists.select(**asked, visible=visible)
        if request.accepted_renderer.format in WRITERS:
            return events_file(request, selection, form=request.accepted_renderer.format)
        report = queries.usage(**asked, visible=visible)
        page = event_lists.page(
            selection, size=_page_size(query), **cursors.sides(cursors.read(query.get("cursor", "")))
        )
        return Response(
            {
                "from": files.instant(report.from_at),
                "to": files.instant(report.to_at),
                "currency": report.currency or settings.CURRENCY,
                "totals": usage_files.measures_as_json(report.totals),
                "archived": [_archived(part) for part in event_lists.archived_parts(selection)],
                **_neighbors(request, selection, page),
                "results": [files.as_row(one) for one in page.events],
            }
        )


def events_file(request: Request, selection: Selection, *, form: str) -> HttpResponseBase:
    """Answer with all events as a file, written while it is sent."""
    write, content_type = WRITERS[form]
    last = selection.to_at - timedelta(microseconds=1)
    return stream_file(
        request._request,
        write(event_lists.every(selection)),
        name=f"events-{selection.from_at:%Y-%m-%d}-{last:%Y-%m-%d}.{form}",
        content_type=content_type,
    )


def _archived(part: event_lists.ArchivedPart) -> dict[str, Any]:
    return {
        "period": files.month_name(part.period),
        "events": part.events,
        "cost": files.amount_text(part.cost),
    }


def _neighbors(request: Request, selection: Selection, page: Page) -> dict[str, str | None]:
    """Write the addresses of the pages beside one; its time stays what it was, also when it was said by default."""
    asked = request.query_params.copy()
    asked["from"], asked["to"] = _hour(selection.from_at), _hour(selection.to_at)
    found: dict[str, str | None] = {}
    for name, place in (("next", page.older), ("previous", page.newer)):
        asked["cursor"] = cursor = cursors.write(place, is_to_older=name == "next")
        address = f"{request.path}?{asked.urlencode()}"
        found[name] = request.build_absolute_uri(address) if cursor else None
    return found


def _hour(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _page_size(query: Any) -> int:
    text = query.get("page_size") or str(PAGE_SIZE)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) <= LARGEST_PAGE):
        raise InvalidInput("page_size", f"must be from 1 to {LARGEST_PAGE}", limit=LARGEST_PAGE)
    return int(text)


class ConflictsView(APIView):
    """Reports under known ids with other content."""

    @extend_schema(
        operation_id="usage_conflicts",
        tags=["usage"],
        summary="Reports under known ids with other content",
        description=(
            "Of the apps of the caller's teams, or of all for the platform's roles; kept for ninety days. `first` is what "
            "counts, and null where that event is in the archive."
        ),
        parameters=[
            parameter("app", "Only of this app."),
            parameter("cursor", "As `next` and `previous` have it."),
            OpenApiParameter("page_size", int, description="At most 500; default 50."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, ("app", "cursor", "page_size", "format"))
        pages = TimeCursorPagination()
        rows = pages.paginate_queryset(conflicts_asked(request), request, view=self)
        found = conflicts.describe(rows or [])
        return pages.get_paginated_response([files.as_conflict(one) for one in found])


def conflicts_asked(request: Request) -> QuerySet[EventConflict]:
    """Narrow the conflicts that somebody may see to an app; one that they may not know of is not found."""
    apps = queries.watched_apps(actor_of(request))
    if slug := request.query_params.get("app"):
        apps = apps.filter(pk=access.get(apps, slug=slug).pk)
    return conflicts.of_apps(apps).select_related("app")


PATHS = [
    path("usage/events", EventsView.as_view(), name="usage-events"),
    path("usage/conflicts", ConflictsView.as_view(), name="usage-conflicts"),
]
