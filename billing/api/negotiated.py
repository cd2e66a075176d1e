"""/negotiated-prices: a subscription's own price for a charge, agreed by finance."""

from datetime import date
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import api_schema as schema
from billing import negotiated
from billing.house import house_terms, house_thresholds
from billing.models import NegotiatedPrice
from billing.negotiated import Proposal
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.catalog import queries
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the negotiated price.")
REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["subscription", "charge", "starts_on", "reason"],
    "properties": {
        "subscription": {"type": "string", "format": "uuid"},
        "charge": schema.CHARGE,
        "starts_on": {"type": "string", "format": "date", "description": "The first of a month."},
        "ends_on": {
            "type": "string",
            "format": "date",
            "nullable": True,
            "description": "The first of a month, excluded; left out: until it is ended.",
        },
        "reason": {"type": "string", "maxLength": negotiated.LONGEST_REASON},
    },
}


class NegotiatedPriceSerializer(serializers.ModelSerializer):
    """A negotiated price; `projection` is a month before and after, in major units."""

    id = serializers.CharField()
    subscription = serializers.CharField(source="subscription_id")
    plan = serializers.CharField(source="plan_code")

    class Meta:
        model = NegotiatedPrice
        fields: tuple[str, ...] = (
            "id", "state", "subscription", "plan", "charge", "starts_on", "ends_on", "proposed_at", "decided_at",
        )  # fmt: skip


class FinanceNegotiatedPriceSerializer(NegotiatedPriceSerializer):
    """A negotiated price as finance sees it: why, what it leaves, whether two people were needed."""

    class Meta(NegotiatedPriceSerializer.Meta):
        fields = (
            *NegotiatedPriceSerializer.Meta.fields, "reason", "projection", "needs_second_person", "decision_note",
        )  # fmt: skip


class NegotiatedDecisionSerializer(serializers.Serializer):
    """The note of a decision on a price."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class NegotiatedPriceFilter(django_filters.FilterSet):
    """By state and subscription."""

    state = django_filters.ChoiceFilter(choices=NegotiatedPrice.State.choices)
    subscription = django_filters.UUIDFilter(field_name="subscription")

    class Meta:
        model = NegotiatedPrice
        fields: list[str] = []


@extend_schema(tags=["finance"])
class NegotiatedPriceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Agreed prices of the person's teams; the marketplace's finance sees all, with what they leave."""

    queryset = NegotiatedPrice.objects.none()
    filterset_class = NegotiatedPriceFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID

    def get_queryset(self) -> QuerySet[NegotiatedPrice]:
        return negotiated.prices(actor_of(self.request))

    def get_object(self) -> NegotiatedPrice:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def get_serializer_class(self) -> type[NegotiatedPriceSerializer]:
        if getattr(self, "swagger_fake_view", False) or actor_of(self.request).is_platform(Role.FINANCE):
            return FinanceNegotiatedPriceSerializer
        return NegotiatedPriceSerializer

    @extend_schema(parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one."""
        return self._answer(self.get_object())

    @extend_schema(request={"application/json": REQUEST}, responses={201: FinanceNegotiatedPriceSerializer})
    def create(self, request: Request) -> Response:
        """Agree a price; one that leaves the platform less than the floor waits for a second person."""
        actor = actor_of(request)
        access.require_platform(actor, Role.FINANCE)
        body = _body(request.data)
        subscription = access.get(queries.visible_subscriptions(actor), pk=body.get("subscription"))
        made = negotiated.propose(
            subscription,
            proposal=_proposal(body),
            by=actor,
            at=timezone.now(),
            share=house_terms().default_share,
            thresholds=house_thresholds(),
        )
        return self._answer(made, status.HTTP_201_CREATED)

    @extend_schema(request=NegotiatedDecisionSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Agree to a price that somebody else proposed."""
        found = self.get_object()
        negotiated.approve(found, by=actor_of(request), at=timezone.now(), note=_note(request))
        return self._answer(found)

    @extend_schema(request=NegotiatedDecisionSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Refuse a price that somebody else proposed, with a note that says why."""
        found = self.get_object()
        negotiated.reject(found, by=actor_of(request), at=timezone.now(), note=_note(request))
        return self._answer(found)

    @extend_schema(request=None, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        found = self.get_object()
        negotiated.withdraw(found, by=actor_of(request), at=timezone.now())
        return self._answer(found)

    @extend_schema(request=None, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Let an agreed price end with this month."""
        found = self.get_object()
        negotiated.end(found, by=actor_of(request), at=timezone.now())
        return self._answer(found)

    def _answer(self, found: NegotiatedPrice, code: int = status.HTTP_200_OK) -> Response:
        return Response(self.get_serializer_class()(found).data, status=code)


def _body(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in REQUEST["properties"]:
            raise InvalidInput(name, "is not a field", code="unknown_field")
    return data


def _proposal(body: dict[str, Any]) -> Proposal:
    charge = body.get("charge")
    if not isinstance(charge, dict):
        raise InvalidInput("charge", "must be an object", code="not_an_object")
    ends_on = body.get("ends_on")
    return Proposal(
        charge,
        _day(body.get("starts_on"), "starts_on"),
        None if ends_on is None else _day(ends_on, "ends_on"),
        str(body.get("reason") or ""),
    )


def _day(value: Any, field: str) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(field, 'must be a day such as "2026-11-01"', code="not_a_day") from error


def _note(request: Request) -> str:
    body = NegotiatedDecisionSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    said: str = body.validated_data["note"]
    return said
