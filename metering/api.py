"""Usage and models in the management API, which are only read."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.csv import CONTENT_TYPE, to_csv
from marketplace.core.errors import InvalidInput
from marketplace.core.renderers import CSVRenderer, XLSXRenderer
from metering import queries, usage_files, usage_workbook
from metering.comparing import COMPARED
from metering.dimensions import DIMENSIONS
from metering.models import LanguageModel
from metering.scopes import UsageScope
from metering.usage_parameters import (
    FILTER_PARAMETERS,
    FILTERS,
    filters_asked,
    parameter,
    refuse_unknown,
    time_asked,
)
from metering.usage_reports import UsageReport

GRANULARITIES = ("hour", "day", "month", "total")
LATENCY = ("mean", "percentiles")
FORMATS = ("json", "csv", "xlsx")
KNOWN_PARAMETERS = ("from", "to", "granularity", "group_by", "compare", "latency", "format", *FILTERS)


USAGE_PARAMETERS = [
    parameter("from", "A day or an RFC 3339 time, included; widens to the full hour. Default: 30 days ago."),
    parameter("to", "A day or an RFC 3339 time, excluded; widens to the full hour. Default: now."),
    parameter("granularity", "Length of the steps; default day.", enum=GRANULARITIES),
    parameter("group_by", f"One or several of {', '.join(DIMENSIONS)}, separated by commas."),
    parameter(
        "compare",
        "Put an earlier period beside this one: the one before, as long (whole months: as many months), or the same dates "
        "a year before. Rows and totals get before, difference, change (a share) and standing (new, gone or null).",
        enum=COMPARED,
    ),
    parameter(
        "latency",
        "percentiles adds latency_p50_ms, latency_p95_ms and latency_p99_ms, at most 9.1 % off, of the full days that the "
        "time touches; by day only, not by hour.",
        enum=LATENCY,
    ),
    parameter("format", "The same rows and total as JSON, CSV or a workbook.", enum=FORMATS),
    *FILTER_PARAMETERS,
]


class UsageViewSet(viewsets.ViewSet):
    """Usage by time and dimension; the same numbers as on every page."""

    renderer_classes = (JSONRenderer, CSVRenderer, XLSXRenderer)

    @extend_schema(
        operation_id="usage",
        tags=["usage"],
        summary="Usage by time and dimension",
        description=(
            "What the caller may see: their teams' usage, usage of the apps of their teams (by whom is not told), or "
            "what they answer for. Cached and cache-write tokens are parts of input, reasoning tokens of output."
        ),
        parameters=USAGE_PARAMETERS,
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, XLSXRenderer.media_type): OpenApiTypes.BINARY,
        },
    )
    def list(self, request: Request) -> HttpResponseBase:
        now = timezone.now()
        asked = usage_parameters(request.query_params, now=now)
        report = queries.usage(**asked, visible=UsageScope.of(actor_of(request)))
        kind = request.accepted_renderer.format
        if kind == "csv":
            lines = to_csv(usage_files.columns(report), usage_files.csv_rows(report))
            return _file(report, lines, kind=kind, content_type=CONTENT_TYPE)
        if kind == "xlsx":
            book = usage_workbook.to_workbook(report, asked=_said(request.query_params), made_at=now)
            return _file(report, book, kind=kind, content_type=usage_workbook.CONTENT_TYPE)
        return Response(usage_files.as_json(report, currency=settings.CURRENCY))


def _file(report: UsageReport, content: Any, *, kind: str, content_type: str) -> HttpResponse:
    name = f"{usage_files.file_name(report)}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=content_type, headers=headers)


def _said(query: QueryDict) -> dict[str, str]:
    return {name: ", ".join(query.getlist(name)) for name in query if name != "format"}


def usage_parameters(query: QueryDict, *, now: datetime) -> dict[str, Any]:
    """Read the parameters of a usage report as ``queries.usage`` takes them; raises InvalidInput by name."""
    refuse_unknown(query, KNOWN_PARAMETERS)
    from_at, to_at = time_asked(query, now=now)
    granularity = query.get("granularity") or "day"
    if granularity not in GRANULARITIES:
        raise InvalidInput("granularity", f"{granularity!r} is not one of {', '.join(GRANULARITIES)}")
    latency = query.get("latency") or "mean"
    if latency not in LATENCY:
        raise InvalidInput("latency", f"{latency!r} is not one of {', '.join(LATENCY)}")
    groups = [name.strip() for text in query.getlist("group_by") for name in text.split(",")]
    return {
        "from_at": from_at,
        "to_at": to_at,
        "granularity": granularity,
        "group_by": [name for name in groups if name],
        "filters": filters_asked(query),
        "compare": query.get("compare", ""),
        "latencies": "rows" if latency == "percentiles" else "",
    }


class ModelSerializer(serializers.ModelSerializer):
    """A name in the model catalogue."""

    class Meta:
        model = LanguageModel
        fields = ("name", "title", "model_class", "context_tokens", "is_active")


@extend_schema(tags=["models"])
class ModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The model catalogue, for every signed-in person."""

    queryset = LanguageModel.objects.filter(is_ceiling=False)
    serializer_class = ModelSerializer
    filterset_fields = ("model_class", "is_active")
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def get_object(self) -> LanguageModel:
        return access.get(self.get_queryset(), name=self.kwargs["name"])


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("usage", UsageViewSet, "usage"),
    ("models", ModelViewSet, "model"),
]
