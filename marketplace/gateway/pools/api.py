"""/pools in the management API: for operators of the platform, and for what scales a cluster by itself."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.money import to_text
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.gateway.models import Provider
from marketplace.gateway.pool_models import Pool, PoolEvent, PoolReplica
from marketplace.gateway.pools import demand, keeping, queries
from marketplace.gateway.pools.keda_export import keda_yaml
from marketplace.gateway.pools.keeping import CHANGEABLE

NUMBERS = frozenset(
    name for name in CHANGEABLE if Pool._meta.get_field(name).get_internal_type() == "PositiveIntegerField"
)
_FIELDS: dict[str, dict[str, Any]] = {
    name: {"type": "integer"} if name in NUMBERS else {"type": "boolean" if name == "restores" else "string"}
    for name in CHANGEABLE
}
_FIELDS["provider"] = {"type": "string", "nullable": True, "description": "A provider's name."}
_FIELDS["actuator"] = {"type": "string", "enum": Pool.Actuator.values}
CHANGES = {"type": "object", "properties": _FIELDS}
REQUEST = {
    "type": "object",
    "required": ["name", "model_class"],
    "properties": {"name": {"type": "string"}, "model_class": {"type": "string"}, **_FIELDS},
}
PLAN = {
    "type": "object",
    "properties": {
        "from": {"type": "string", "format": "date-time"},
        "to": {"type": "string", "format": "date-time"},
        "replica_ms": {"type": "integer"},
        "flat_replicas": {"type": "integer"},
        "flat_ms": {"type": "integer"},
        "cost": {"type": "string", "nullable": True},
        "flat_cost": {"type": "string", "nullable": True},
        "currency": {"type": "string"},
        "windows": {"type": "integer"},
        "short_windows": {"type": "integer"},
    },
}


class PoolReplicaSerializer(serializers.ModelSerializer):
    """A server of a pool."""

    id = serializers.CharField(read_only=True)

    class Meta:
        model = PoolReplica
        fields = (
            "id", "number", "is_spot", "state", "address", "is_restored", "is_awaited", "started_at", "ready_at",
            "start_ms", "ended_at",
        )  # fmt: skip


class PoolEventSerializer(serializers.ModelSerializer):
    """Something that happened to a pool."""

    class Meta:
        model = PoolEvent
        fields = ("at", "kind", "text", "replicas")


class PoolSerializer(serializers.ModelSerializer):
    """A pool: its policy, and what was decided last with the reasons."""

    provider = serializers.CharField(source="provider.name", read_only=True, default=None)
    desired = serializers.IntegerField(read_only=True)

    class Meta:
        model = Pool
        fields = (
            "name", "model_class", "state", *CHANGEABLE, "profile", "profile_weeks", "learnt_at", "desired",
            "desired_on_demand", "desired_spot", "short_by", "explanation", "decided_at", "spot_away_until", "trouble",
        )  # fmt: skip


class PoolDetailSerializer(PoolSerializer):
    """A pool with its replicas, how its starts went, and the calls under way now: what KEDA asks for."""

    replicas = serializers.SerializerMethodField()
    starts = serializers.SerializerMethodField()
    calls_under_way = serializers.SerializerMethodField()

    class Meta:
        model = Pool
        fields = (*PoolSerializer.Meta.fields, "replicas", "starts", "calls_under_way")

    @extend_schema(responses=PoolReplicaSerializer(many=True))
    def get_replicas(self, pool: Pool) -> Any:
        return PoolReplicaSerializer(queries.replicas(pool), many=True).data

    def get_starts(self, pool: Pool) -> dict[str, int | None]:
        found = queries.starts(pool=pool, at=timezone.now())
        return {
            "count": found.count,
            "awaited": found.awaited,
            "awaited_per_million_calls": found.awaited_per_million,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
        }

    def get_calls_under_way(self, pool: Pool) -> int:
        return demand.under_way(at=timezone.now()).get(pool.model_class, 0)


@extend_schema(tags=["pools"])
class PoolViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Warm pools, for operators of the platform."""

    queryset = Pool.objects.select_related("provider").order_by("name")
    serializer_class = PoolSerializer
    parser_classes = (FloatFreeJSONParser,)
    lookup_field = "name"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    def get_queryset(self) -> QuerySet[Pool]:
        if not getattr(self, "swagger_fake_view", False):
            access.require_platform(actor_of(self.request), Role.OPERATOR)
        return super().get_queryset()

    def get_object(self) -> Pool:
        return access.get(self.get_queryset(), name=self.kwargs["name"])

    @extend_schema(responses=PoolDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(PoolDetailSerializer(self.get_object()).data)

    @extend_schema(request={"application/json": REQUEST}, responses={201: PoolSerializer})
    def create(self, request: Request) -> Response:
        """Add a pool; fields that are left out have their defaults."""
        data, actor = _body(request), actor_of(request)
        access.require_platform(actor, Role.OPERATOR)
        named = {name: _text(data.pop(name, ""), name) for name in ("name", "model_class")}
        if not named["name"]:
            raise InvalidInput("name", "A pool needs a name.")
        made = keeping.add(
            named["name"],
            model_class=named["model_class"],
            facts=read_facts(data),
            by=actor,
            at=timezone.now(),
        )
        return Response(PoolSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request={"application/json": CHANGES}, responses=PoolSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Change what is given; the rest stays."""
        pool = self.get_object()
        keeping.change(pool, facts=read_facts(_body(request)), by=actor_of(request), at=timezone.now())
        return Response(PoolSerializer(pool).data)

    @extend_schema(request=None, responses=PoolSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, name: str) -> Response:
        """Let all replicas end."""
        pool = self.get_object()
        keeping.pause(pool, by=actor_of(request), at=timezone.now())
        return Response(PoolSerializer(pool).data)

    @extend_schema(request=None, responses=PoolSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, name: str) -> Response:
        """Follow the policy again."""
        pool = self.get_object()
        keeping.resume(pool, by=actor_of(request), at=timezone.now())
        return Response(PoolSerializer(pool).data)

    @extend_schema(responses=PoolEventSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def events(self, request: Request, name: str) -> Response:
        """Tell what happened last, the newest first."""
        return Response(PoolEventSerializer(queries.events(self.get_object()), many=True).data)

    @extend_schema(responses={(200, "application/json"): PLAN}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def plan(self, request: Request, name: str) -> Response:
        """Say what the policy would have come to over the last thirty days, beside flat provisioning."""
        return Response(_plan(queries.plan_view(self.get_object(), at=timezone.now())))

    @extend_schema(responses={(200, "application/yaml"): OpenApiTypes.STR}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def keda(self, request: Request, name: str) -> HttpResponse:
        """Give the policy as a ScaledObject of KEDA."""
        return HttpResponse(keda_yaml(self.get_object()), content_type="application/yaml")


def read_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read fields of a pool. Raises InvalidInput that names every field that is unknown or of another kind."""
    errors: list[FieldError] = []
    facts: dict[str, Any] = {}
    for name, value in data.items():
        if name not in CHANGEABLE:
            errors.append(FieldError(name, "is not a field of a pool", code="unknown_field"))
        elif name == "provider":
            facts[name] = _provider(value)
        elif not isinstance(value, _kind(name)) or (name in NUMBERS and isinstance(value, bool)):
            errors.append(
                FieldError(
                    name, f"must be {'a whole number' if name in NUMBERS else 'a ' + _kind(name).__name__}"
                )
            )
        else:
            facts[name] = value
    if errors:
        raise InvalidInput.several(errors)
    return facts


def _kind(name: str) -> type:
    if name in NUMBERS:
        return int
    return bool if name == "restores" else str


def _provider(name: Any) -> Provider | None:
    if name is None:
        return None
    found = Provider.objects.filter(name=_text(name, "provider")).first()
    if found is None:
        raise InvalidInput("provider", f"There is no provider {name!r}.")
    return found


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text")
    return value


def _body(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise InvalidInput("", "must be an object")
    return dict(request.data)


def _plan(found: queries.PlanView | None) -> dict[str, Any]:
    if found is None:
        return {"windows": 0, "short_windows": 0}
    return {
        "from": found.from_at,
        "to": found.to_at,
        "replica_ms": found.plan.replica_ms,
        "flat_replicas": found.plan.flat,
        "flat_ms": found.plan.flat_ms,
        "cost": None if found.cost is None else to_text(found.cost),
        "flat_cost": None if found.flat_cost is None else to_text(found.flat_cost),
        "currency": found.currency,
        "windows": len(found.plan.windows),
        "short_windows": found.plan.short,
    }


ROUTES = (("pools", PoolViewSet, "pool"),)
