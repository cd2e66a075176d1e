"""/route-policies and /dear-models in the management API."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog.models import App
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from marketplace.gateway.routing import dear, overview, policies, table
from marketplace.gateway.routing.dry_runs import dry_run
from marketplace.gateway.routing_models import DearModel, RoutePolicy

ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WHOLE = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean", "description": "Left out: either."}
ROW = {
    "type": "object",
    "required": ["use"],
    "properties": {
        "use": {
            "type": "string",
            "description": f"{', '.join(table.CHOICES)}, a class of models, or a model.",
        },
        "intents": {"type": "array", "items": {"type": "string"}},
        "tokens_from": _WHOLE,
        "tokens_below": _WHOLE,
        "tools": _FLAG,
        "schema": _FLAG,
        "images": _FLAG,
        "environments": {"type": "array", "items": {"type": "string", "enum": list(table.ENVIRONMENTS)}},
        "budget_left_below": {
            **_WHOLE,
            "maximum": 100,
            "description": "Percent of the tightest money limit.",
        },
    },
}
_FIELDS = {
    "app": {"type": "string", "description": "The app's slug."},
    "rows": {"type": "array", "items": ROW, "minItems": 1, "maxItems": table.MOST_ROWS},
    "mode": {"type": "string", "enum": policies.Mode.values, "default": "shadow"},
    "percent": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
    "split_by": {"type": "string", "enum": policies.Split.values, "default": "subscription"},
    "quality_floor": {"type": "integer", "minimum": 50, "maximum": 100, "default": 95},
    "note": {"type": "string", "maxLength": 400},
    "replaces": {"type": "integer", "description": "The newest version you know; another one is a conflict."},
}
_POLICY = {"application/json": {"type": "object", "required": ["app", "rows"], "properties": _FIELDS}}
_APP = {"application/json": {"type": "object", "required": ["app"], "properties": {"app": _FIELDS["app"]}}}
DRY_RUN = {
    "type": "object",
    "properties": {
        "days": _WHOLE,
        "calls": _WHOLE,
        "moved": _WHOLE,
        "cost": EXACT_AMOUNT,
        "would_cost": EXACT_AMOUNT,
        "saved": EXACT_AMOUNT,
        "currency": {"type": "string"},
        "by_row": {"type": "object", "additionalProperties": _WHOLE},
        "unsure": _WHOLE,
        "is_cut": {"type": "boolean", "description": "Whether only the newest calls were looked at."},
    },
}
_ASK = {
    "application/json": {
        "type": "object",
        "required": ["app", "model", "reason"],
        "properties": {
            "app": _FIELDS["app"],
            "model": {"type": "string"},
            "reason": {"type": "string", "maxLength": 2000},
            "ends_at": {"type": "string", "format": "date-time"},
        },
    }
}
_NOTE = {
    "application/json": {"type": "object", "properties": {"note": {"type": "string", "maxLength": 2000}}}
}


class RoutePolicySerializer(serializers.ModelSerializer):
    """A version of the table by which an app's calls find their model."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    saved_by = serializers.CharField(source="saved_by.email", read_only=True)
    rows = serializers.JSONField(read_only=True)
    projection = serializers.JSONField(read_only=True, help_text="The dry run that was on the page.")

    class Meta:
        model = RoutePolicy
        fields = (
            "id", "app", "number", "state", "rows", "mode", "percent", "split_by", "quality_floor", "note", "projection",
            "saved_by", "saved_at",
        )  # fmt: skip


class RoutePolicyFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")

    class Meta:
        model = RoutePolicy
        fields = ("state", "mode")


@extend_schema(tags=["routing"])
class RoutePolicyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Route policies of the apps that one makes; of all for operators and approvers."""

    queryset = RoutePolicy.objects.select_related("app", "saved_by").order_by("-saved_at")
    serializer_class = RoutePolicySerializer
    filterset_class = RoutePolicyFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = ID

    def get_queryset(self) -> QuerySet[RoutePolicy]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return super().get_queryset().filter(app__in=policies.visible_apps(actor_of(self.request)))

    def get_object(self) -> RoutePolicy:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @method_decorator(conditional_page)
    def list(self, request: Request) -> Response:
        """List policies, newest first. With ``If-None-Match``, 304 while they are the same: apps keep a copy."""
        return super().list(request)

    @extend_schema(request=_POLICY, responses={201: RoutePolicySerializer})
    def create(self, request: Request) -> Response:
        """Put a policy in force as the app's next version."""
        app, draft = _policy_of(request)
        now, replaces = timezone.now(), _fields_of(request).get("replaces")
        if replaces is not None and (isinstance(replaces, bool) or not isinstance(replaces, int)):
            raise InvalidInput("replaces", "The number of a version.")
        tried = dry_run(app, draft, currency=settings.CURRENCY, at=now).as_json()
        saved = policies.save(app, draft, by=actor_of(request), at=now, replaces=replaces, projection=tried)
        return Response(self.get_serializer(saved).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=_POLICY, responses={(200, "application/json"): DRY_RUN})
    @action(detail=False, methods=["post"], url_path="dry-run")
    def dry_run(self, request: Request) -> Response:
        """Say what a policy would have made of the app's last week of calls; nothing is saved."""
        app, draft = _policy_of(request)
        return Response(dry_run(app, draft, currency=settings.CURRENCY, at=timezone.now()).as_json())

    @extend_schema(request=_APP, responses={204: None})
    @action(detail=False, methods=["post"])
    def end(self, request: Request) -> Response:
        """End the app's policy: calls go to the cheapest approved model again."""
        policies.end(_app_of(request), by=actor_of(request), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class DearModelSerializer(serializers.ModelSerializer):
    """The wish of an app's makers to use a dear model, and what was decided."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    model = serializers.CharField(source="model.name", read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)
    projection = serializers.JSONField(read_only=True)

    class Meta:
        model = DearModel
        fields = (
            "id", "app", "model", "state", "reason", "ends_at", "proposed_by", "proposed_at", "decided_by", "decided_at",
            "decision_note", "projection",
        )  # fmt: skip


class DearModelFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")

    class Meta:
        model = DearModel
        fields = ("state",)


@extend_schema(tags=["routing"])
class DearModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Approvals of dear models: of the apps that one makes; of all for operators and approvers, who decide."""

    queryset = DearModel.objects.select_related("app", "model", "proposed_by", "decided_by")
    serializer_class = DearModelSerializer
    filterset_class = DearModelFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = ID

    def get_queryset(self) -> QuerySet[DearModel]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return dear.requests(actor_of(self.request))

    def get_object(self) -> DearModel:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=_ASK, responses={201: DearModelSerializer})
    def create(self, request: Request) -> Response:
        """Ask for an approval."""
        until = _text(request, "ends_at")
        asked = dear.ask(
            _app_of(request),
            model=_text(request, "model"),
            reason=_text(request, "reason"),
            ends_at=parse_instant(until, field="ends_at") if until else None,
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(self.get_serializer(asked).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=_NOTE, responses=DearModelSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve, as a second person."""
        return self._decide(request, DearModel.State.APPROVED)

    @extend_schema(request=_NOTE, responses=DearModelSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject, with a note."""
        return self._decide(request, DearModel.State.REJECTED)

    @extend_schema(request=None, responses=DearModelSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take it back; for who asked."""
        asked = self.get_object()
        dear.withdraw(asked, by=actor_of(request), at=timezone.now())
        return Response(self.get_serializer(asked).data)

    @extend_schema(request=_NOTE, responses=DearModelSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End an approval."""
        asked = self.get_object()
        dear.end(asked, by=actor_of(request), at=timezone.now(), note=_text(request, "note"))
        return Response(self.get_serializer(asked).data)

    def _decide(self, request: Request, to: str) -> Response:
        asked, now = self.get_object(), timezone.now()
        shown = overview.projection_of(asked, currency=settings.CURRENCY, at=now)
        dear.decide(asked, to=to, by=actor_of(request), at=now, note=_text(request, "note"), projection=shown)
        return Response(self.get_serializer(asked).data)


ROUTES = (
    ("route-policies", RoutePolicyViewSet, "route-policy"),
    ("dear-models", DearModelViewSet, "dear-model"),
)


def _policy_of(request: Request) -> tuple[App, policies.Draft]:
    app = _app_of(request)
    said = _fields_of(request)
    if unknown := sorted(said.keys() - _FIELDS.keys()):
        raise InvalidInput(unknown[0], "There is no such field.", code="unknown_field")
    fields = {name: value for name, value in said.items() if name not in ("app", "replaces")}
    return app, policies.check(fields, models=policies.models_of(app))


def _app_of(request: Request) -> App:
    slug = _text(request, "app")
    if not slug:
        raise InvalidInput("app", "Name the app by its slug.", code="required")
    return access.get(policies.apps(actor_of(request)), slug=slug)


def _fields_of(request: Request) -> dict[str, Any]:
    said: Any = request.data
    if not isinstance(said, dict):
        raise InvalidInput("", "The body is a JSON object.")
    return said


def _text(request: Request, name: str) -> str:
    value = _fields_of(request).get(name, "")
    if not isinstance(value, str) or len(value) > 2000 or "\x00" in value:
        raise InvalidInput(name, "A text of at most 2,000 characters.")
    return value
