"""/incidents in the management API: what runs away, what is done about it, letting it go on."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import EXACT_AMOUNT, AmountField
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from quotas import incident_policies, incident_queries, incidents
from quotas.incident_models import Incident

INCIDENT_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LONGEST_REASON = 2000
_REASON = {"type": "string", "maxLength": LONGEST_REASON}


def _body(*required: str, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "object", "properties": {**fields, "reason": _REASON}}
    # An empty list of what is required is no valid schema.
    return {"application/json": body | ({"required": [*required]} if required else {})}


class IncidentSerializer(serializers.ModelSerializer):
    """An app that brings far more than usual. Amounts are of 24 hours: of money, or of calls where there is no currency."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    actual = AmountField(read_only=True)
    expected = AmountField(read_only=True)
    highest = AmountField(read_only=True)
    monthly_effect = AmountField(read_only=True, allow_null=True)
    volume = AmountField(read_only=True, allow_null=True)
    mix = AmountField(read_only=True, allow_null=True)
    price = AmountField(read_only=True, allow_null=True)
    policy = serializers.IntegerField(source="policy_id", read_only=True, allow_null=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by.email", read_only=True, default=None)
    resumed_by = serializers.CharField(source="resumed_by.email", read_only=True, default=None)
    closed_by = serializers.CharField(source="closed_by.email", read_only=True, default=None)

    class Meta:
        model = Incident
        fields = (
            "id", "app", "kind", "state", "currency", "actual", "expected", "highest", "monthly_effect", "volume",
            "mix", "price", "is_new_app", "evidence", "policy", "first_seen_at", "opened_at", "last_seen_at",
            "acknowledged_at", "acknowledged_by", "stopped_at", "resumed_at", "resumed_by", "closed_at", "closed_by",
            "explanation", "escalations",
        )  # fmt: skip


class IncidentFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    is_open = filters.BooleanFilter(method="that_are_open", help_text="Whether it is not closed yet.")

    class Meta:
        model = Incident
        fields = ("state", "kind")

    def that_are_open(self, found: QuerySet[Incident], name: str, wanted: bool) -> QuerySet[Incident]:
        return (
            found.exclude(state=Incident.State.CLOSED)
            if wanted
            else found.filter(state=Incident.State.CLOSED)
        )


@extend_schema(tags=["limits"])
class IncidentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Incidents of apps that one makes or answers for. What was throttled or paused is resumed by an operator who does not own the app."""

    queryset = Incident.objects.select_related("app", "acknowledged_by", "resumed_by", "closed_by")
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = INCIDENT_ID

    def get_queryset(self) -> QuerySet[Incident]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        found = incident_queries.visible(actor_of(self.request))
        return found.select_related(
            "app__owner_team__organization", "acknowledged_by", "resumed_by", "closed_by"
        )

    def get_object(self) -> Incident:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=_body(), responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Look after an incident: nobody else is told any more."""
        one, said = self.get_object(), _said(request)
        incidents.acknowledge(one, by=actor_of(request), at=timezone.now(), note=_text(said))
        return Response(self.get_serializer(one).data)

    @extend_schema(
        request=_body("reason", requests_per_minute={"type": "integer", "description": "Left out: what the highest day before cost."}),
        responses=IncidentSerializer,
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def throttle(self, request: Request, pk: str) -> Response:
        """Slow the app: calls beyond the rate answer 429 with Retry-After."""
        one, said = self.get_object(), _said(request, "requests_per_minute")
        rate = _whole(said, "requests_per_minute") or incident_queries.suggested_rate(one)
        incidents.throttle(
            one, requests_per_minute=rate, by=actor_of(request), at=timezone.now(), reason=_text(said)
        )
        return Response(self.get_serializer(one).data)

    @extend_schema(request=_body("reason"), responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Stop the app: calls answer 503 `app_paused`."""
        one, said = self.get_object(), _said(request)
        incidents.pause(one, by=actor_of(request), at=timezone.now(), reason=_text(said))
        return Response(self.get_serializer(one).data)

    @extend_schema(
        request=_body(
            "reason", "ceiling",
            ceiling={**EXACT_AMOUNT, "description": "Cost a day, of all subscribers together."},
            hours={"type": "integer", "description": "How long the ceiling holds; left out: as the thresholds say."},
        ),
        responses=IncidentSerializer,
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let an app go on, first at a ceiling; for operators who do not own it."""
        one, said = self.get_object(), _said(request, "ceiling", "hours")
        incidents.resume(
            one,
            ceiling=_amount(said, "ceiling"),
            hours=_whole(said, "hours") or incident_policies.rules_in_force().ceiling_hours,
            by=actor_of(request),
            at=timezone.now(),
            reason=_text(said),
        )
        return Response(self.get_serializer(one).data)

    @extend_schema(
        request=_body(
            "reason", "until", "up_to",
            until={"type": "string", "format": "date-time"},
            up_to={**EXACT_AMOUNT, "description": "In 24 hours; more than this is found all the same."},
        ),
        responses=IncidentSerializer,
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def expect(self, request: Request, pk: str) -> Response:
        """Say that so much is as it should be for a time; closes a notice."""
        one, said = self.get_object(), _said(request, "until", "up_to")
        incidents.expect(
            one,
            until=parse_instant(said.get("until"), field="until"),
            up_to=_amount(said, "up_to"),
            by=actor_of(request),
            at=timezone.now(),
            reason=_text(said),
        )
        return Response(self.get_serializer(one).data)

    @extend_schema(request=_body("reason"), responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """End an incident, with what it was; what is throttled or paused has to be resumed first."""
        one, said = self.get_object(), _said(request)
        incidents.close(one, by=actor_of(request), at=timezone.now(), explanation=_text(said))
        return Response(self.get_serializer(one).data)


def _said(request: Request, *names: str) -> dict[str, Any]:
    """Return the body; raises InvalidInput for a field that there is not."""
    data = request.data
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in ("reason", *names):
            message = f"is not a field; there are {', '.join(('reason', *names))}"
            raise InvalidInput(name, message, code="unknown_field")
    return data


def _text(said: dict[str, Any]) -> str:
    value = said.get("reason") or ""
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST_REASON:
        raise InvalidInput(
            "reason", f"must be a text of at most {LONGEST_REASON} characters", limit=LONGEST_REASON
        )
    return value


def _amount(said: dict[str, Any], name: str) -> Any:
    if said.get(name) is None:
        raise InvalidInput(name, "is needed")
    return parse_amount(said[name], field=name)


def _whole(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
        raise InvalidInput(name, "must be a whole number above zero")
    return value


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [("incidents", IncidentViewSet, "incident")]
