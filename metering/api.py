"""Usage and models in the management API, which are only read."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.csv import CONTENT_TYPE, to_csv
from marketplace.core.errors import InvalidInput
from marketplace.core.renderers import CSVRenderer
from metering import queries, usage_files
from metering.dimensions import DIMENSIONS, NOTHING
from metering.models import LanguageModel
from metering.scopes import UsageScope
from metering.usage_parameters import filters_asked, refuse_unknown, time_asked

NONE_TOO = f"; {NOTHING}: what has none"
GRANULARITIES = ("hour", "day", "month", "total")
KNOWN_PARAMETERS = ("from", "to", "granularity", "group_by", "currency", "format", *DIMENSIONS)


def _parameter(name: str, description: str, **details: Any) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, **details)


USAGE_PARAMETERS = [
    _parameter("from", "A day or an RFC 3339 time, included; widens to the full hour. Default: 30 days ago."),
    _parameter("to", "A day or an RFC 3339 time, excluded; widens to the full hour. Default: now."),
    _parameter("granularity", "Length of the steps; default day.", enum=GRANULARITIES),
    _parameter("group_by", f"One or several of {', '.join(DIMENSIONS)}, separated by commas."),
    _parameter("currency", "Only usage that cost this currency; needed when there are several."),
    _parameter("format", "json or csv.", enum=("json", "csv")),
    *(
        _parameter(one.name, f"Only this {one.title.lower()}{NONE_TOO if one.nothing else ''}.")
        for one in DIMENSIONS.values()
    ),
]


class UsageViewSet(viewsets.ViewSet):
    """Usage by time and dimension; the same numbers as on every page."""

    renderer_classes = (JSONRenderer, CSVRenderer)

    @extend_schema(
        operation_id="usage",
        tags=["usage"],
        summary="Usage by time and dimension",
        description=(
            "What the caller may see: their teams' usage, usage of the apps of their teams (by whom is not told), or "
            "what they answer for. Cached and cache-write tokens are parts of input, reasoning tokens of output."
        ),
        parameters=USAGE_PARAMETERS,
        responses={(200, "application/json"): OpenApiTypes.OBJECT, (200, "text/csv"): OpenApiTypes.STR},
    )
    def list(self, request: Request) -> HttpResponseBase:
        report = queries.usage(
            **usage_parameters(request.query_params, now=timezone.now()),
            visible=UsageScope.of(actor_of(request)),
        )
        if request.accepted_renderer.format == "csv":
            name = f"usage-{report.from_at:%Y-%m-%d}-{report.to_at:%Y-%m-%d}.csv"
            lines = to_csv(usage_files.columns(report), usage_files.csv_rows(report))
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return HttpResponse(lines, content_type=CONTENT_TYPE, headers=headers)
        return Response(usage_files.as_json(report, currency=settings.CURRENCY))


def usage_parameters(query: QueryDict, *, now: datetime) -> dict[str, Any]:
    """Read the parameters of a usage report as ``queries.usage`` takes them; raises InvalidInput by name."""
    refuse_unknown(query, KNOWN_PARAMETERS)
    from_at, to_at = time_asked(query, now=now)
    granularity = query.get("granularity") or "day"
    if granularity not in GRANULARITIES:
        raise InvalidInput("granularity", f"{granularity!r} is not one of {', '.join(GRANULARITIES)}")
    groups = [name.strip() for text in query.getlist("group_by") for name in text.split(",")]
    return {
        "from_at": from_at,
        "to_at": to_at,
        "granularity": granularity,
        "group_by": [name for name in groups if name],
        "filters": filters_asked(query),
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
