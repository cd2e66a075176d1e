"""/rate-cards and /rate-proposals in the management API: prices, proposing them, deciding on them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import EXACT_AMOUNT, AmountField
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount, to_text
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from metering import proposals, provider_costs
from metering.models import LanguageModel, RateCard, RateProposal
from metering.proposals import TOKEN_PRICES
from metering.provider_costs import Deviation

PRICES = (*TOKEN_PRICES, "price_per_hour")
_TEXTS = {"reason": 2000, "source": 200, "model_title": 120, "model_class": 10}
_SUBJECTS = ("model", "instance_type", "ceiling")
_FIELDS = (*_SUBJECTS, *PRICES, "currency", "starts_at", *_TEXTS, "context_tokens")
PROPOSAL_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
REQUEST = {
    "type": "object",
    "required": ["reason", "source"],
    "properties": {
        "model": {
            "type": "string",
            "description": "Of a model; with the four fields below it may be a new one.",
        },
        "instance_type": {"type": "string", "description": "Of an instance type, in place of model."},
        "ceiling": {"type": "boolean", "description": "Of models without a price, in place of model."},
        **dict.fromkeys(PRICES, EXACT_AMOUNT),
        "currency": {"type": "string", "description": "Left out, or that of the marketplace."},
        "starts_at": {
            "type": "string",
            "format": "date-time",
            "description": "A day or an RFC 3339 time; left out: five minutes after it is approved.",
        },
        "reason": {"type": "string"},
        "source": {"type": "string", "description": "Where the price stands."},
        "model_title": {"type": "string"},
        "model_class": {"type": "string", "enum": LanguageModel.ModelClass.values},
        "context_tokens": {"type": "integer"},
    },
}
_CHANGE = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "old": {**EXACT_AMOUNT, "nullable": True},
        "new": EXACT_AMOUNT,
    },
}
IMPACT = {
    "type": "object",
    "properties": {
        "from": {"type": "string", "format": "date-time"},
        "to": {"type": "string", "format": "date-time"},
        "currency": {"type": "string"},
        "tokens": {"type": "integer"},
        "duration_ms": {"type": "integer"},
        "total": _CHANGE,
        "apps": {"type": "array", "items": _CHANGE, "description": "Those it touches most."},
        "other_apps": {"type": "integer"},
    },
}
DEVIATIONS = {
    "type": "object",
    "properties": {
        "currency": {"type": "string"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "month": {"type": "string", "example": "2026-11"},
                    "model": {"type": "string", "nullable": True},
                    "events": {"type": "integer"},
                    "provider_cost_events": {"type": "integer"},
                    "provider_cost": EXACT_AMOUNT,
                    "rated_cost": EXACT_AMOUNT,
                    "difference": EXACT_AMOUNT,
                },
            },
        },
    },
}


class RateCardSerializer(serializers.ModelSerializer):
    """What a model costs per million tokens of each class, from a date."""

    id = serializers.CharField(read_only=True)
    model = serializers.CharField(source="model.name", read_only=True)
    input_per_mtok = AmountField(read_only=True)
    cached_input_per_mtok = AmountField(read_only=True)
    cache_write_per_mtok = AmountField(read_only=True)
    output_per_mtok = AmountField(read_only=True)
    reasoning_per_mtok = AmountField(read_only=True)

    class Meta:
        model = RateCard
        fields = (
            "id", "model", "currency", "input_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok",
            "output_per_mtok", "reasoning_per_mtok", "starts_at", "ends_at", "source",
        )  # fmt: skip


class RateProposalSerializer(serializers.ModelSerializer):
    """A price that somebody wants, and what was decided."""

    id = serializers.CharField(read_only=True)
    input_per_mtok = AmountField(read_only=True)
    cached_input_per_mtok = AmountField(read_only=True)
    cache_write_per_mtok = AmountField(read_only=True)
    output_per_mtok = AmountField(read_only=True)
    reasoning_per_mtok = AmountField(read_only=True)
    price_per_hour = AmountField(read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)
    rate_card = serializers.CharField(source="rate_card_id", read_only=True, default=None)
    instance_rate = serializers.CharField(source="instance_rate_id", read_only=True, default=None)

    class Meta:
        model = RateProposal
        fields = (
            "id", "kind", "subject", "state", "currency", *PRICES, "starts_at", "reason", "source",
            "model_title", "model_class", "context_tokens", "proposed_by", "proposed_at", "decided_by", "decided_at",
            "decision_note", "projection", "rate_card", "instance_rate",
        )  # fmt: skip


class NoteSerializer(serializers.Serializer):
    """The note of a decision."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class RateCardFilter(filters.FilterSet):
    model = filters.CharFilter(field_name="model__name")
    in_force = filters.IsoDateTimeFilter(method="in_force_at", help_text="In force at this time.")
    coming = filters.BooleanFilter(method="that_come", help_text="Only prices that begin later.")

    class Meta:
        model = RateCard
        fields = ("model", "currency")

    def in_force_at(self, found: QuerySet[RateCard], name: str, at: datetime) -> QuerySet[RateCard]:
        return found.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)

    def that_come(self, found: QuerySet[RateCard], name: str, wanted: bool) -> QuerySet[RateCard]:
        coming = Q(starts_at__gt=timezone.now()) & (Q(ends_at=None) | Q(ends_at__gt=F("starts_at")))
        return found.filter(coming) if wanted else found.exclude(coming)


class RateProposalFilter(filters.FilterSet):
    class Meta:
        model = RateProposal
        fields = ("state", "kind", "subject")


class RateCardViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Every dated price of the models, for finance, operators and approvers of the platform."""

    queryset = RateCard.objects.select_related("model")
    serializer_class = RateCardSerializer
    filterset_class = RateCardFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = "[0-9a-f-]+"

    def get_queryset(self) -> QuerySet[RateCard]:
        if not getattr(self, "swagger_fake_view", False):
            access.require_platform(actor_of(self.request), *sorted(PLATFORM_ROLES))
        return super().get_queryset()

    def get_object(self) -> RateCard:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(tags=["models"])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(tags=["models"], parameters=[OpenApiParameter("id", OpenApiTypes.INT, "path")])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        tags=["models"],
        operation_id="rate_cards_propose",
        summary="Propose a price",
        description=(
            "Of a model, an instance type, or of unknown models (a ceiling price). It holds once a second person has "
            "approved it. An open proposal for the same thing is superseded. A model that is not in the catalogue is "
            "added with its first price and needs `model_title`, `model_class` and `context_tokens`."
        ),
        request={"application/json": REQUEST},
        responses={201: RateProposalSerializer},
    )
    def create(self, request: Request) -> Response:
        asked = read_proposal(request.data, currency=settings.CURRENCY)
        made = proposals.propose(asked, by=actor_of(request), at=timezone.now())
        return Response(RateProposalSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        tags=["models"],
        operation_id="rate_cards_preview",
        summary="Say what a price would change",
        description="The usage of the last thirty days at the price in force and at this one. Proposes nothing.",
        request={"application/json": REQUEST},
        responses={(200, "application/json"): IMPACT},
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def preview(self, request: Request) -> Response:
        access.require_platform(actor_of(request), *sorted(PLATFORM_ROLES))
        asked = read_proposal(request.data, currency=settings.CURRENCY)
        return Response(proposals.preview(asked, at=timezone.now()).as_json())

    @extend_schema(tags=["models"], request=NoteSerializer, responses=RateProposalSerializer, parameters=[
        OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the proposal."),
    ])  # fmt: skip
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a proposal: its price holds from its date."""
        proposal, note = _decision(request, pk)
        proposals.approve(proposal, by=actor_of(request), at=timezone.now(), note=note)
        return Response(RateProposalSerializer(proposal).data)

    @extend_schema(tags=["models"], request=NoteSerializer, responses=RateProposalSerializer, parameters=[
        OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the proposal."),
    ])  # fmt: skip
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject a proposal, with a note that says why."""
        proposal, note = _decision(request, pk)
        proposals.reject(proposal, by=actor_of(request), at=timezone.now(), note=note)
        return Response(RateProposalSerializer(proposal).data)

    @extend_schema(tags=["models"], request=None, responses=RateProposalSerializer, parameters=[
        OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the proposal."),
    ])  # fmt: skip
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        proposal = find_proposal(request, pk)
        proposals.withdraw(proposal, by=actor_of(request), at=timezone.now())
        return Response(RateProposalSerializer(proposal).data)

    @extend_schema(
        tags=["models"],
        operation_id="rate_cards_provider_costs",
        summary="What providers charged, beside what was rated",
        parameters=[
            OpenApiParameter(
                "from", OpenApiTypes.STR, description="A day or an RFC 3339 time.", required=True
            ),
            OpenApiParameter("to", OpenApiTypes.STR, description="Excluded; default now."),
        ],
        responses={(200, "application/json"): DEVIATIONS},
        filters=False,
    )
    @action(detail=False, methods=["get"], url_path="provider-costs", pagination_class=None)
    def provider_costs(self, request: Request) -> Response:
        """Compare events that told a provider's cost with our rating of them, by month and model."""
        access.require_platform(actor_of(request), *sorted(PLATFORM_ROLES))
        query = request.query_params
        found = provider_costs.deviations(
            from_at=parse_instant(query.get("from"), field="from"),
            to_at=parse_instant(query["to"], field="to") if query.get("to") else timezone.now(),
            currency=settings.CURRENCY,
        )
        return Response({"currency": settings.CURRENCY, "results": [_deviation(one) for one in found]})


@extend_schema(tags=["models"])
class RateProposalViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Proposals of prices with what was decided, for finance, operators and approvers of the platform."""

    queryset = RateProposal.objects.select_related("proposed_by", "decided_by")
    serializer_class = RateProposalSerializer
    filterset_class = RateProposalFilter
    lookup_value_regex = PROPOSAL_ID

    def get_queryset(self) -> QuerySet[RateProposal]:
        if not getattr(self, "swagger_fake_view", False):
            access.require_platform(actor_of(self.request), *sorted(PLATFORM_ROLES))
        return super().get_queryset()

    def get_object(self) -> RateProposal:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(
        description="`projection` is what it changes: as it was when it was decided, or as it is now while it waits."
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        proposal = self.get_object()
        if proposal.state == RateProposal.State.PROPOSED:
            proposal.projection = proposals.consequences(proposal, at=timezone.now()).as_json()
        return Response(self.get_serializer(proposal).data)


def find_proposal(request: Request, pk: str) -> RateProposal:
    """Return a proposal for who may see proposals."""
    access.require_platform(actor_of(request), *sorted(PLATFORM_ROLES))
    return access.get(RateProposal.objects.select_related("proposed_by", "decided_by"), pk=pk)


def read_proposal(data: Any, *, currency: str) -> RateProposal:
    """Read the body of a proposal, unsaved. Raises InvalidInput by field."""
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in _FIELDS:
            raise InvalidInput(name, f"is not a field; there are {', '.join(_FIELDS)}", code="unknown_field")
    if data.get("currency") not in (None, currency):
        raise InvalidInput("currency", f"must be {currency}, in which usage is rated here")
    kind, subject = _subject(data)
    starts_at = data.get("starts_at")
    return RateProposal(
        kind=kind,
        subject=subject,
        currency=currency,
        starts_at=None if starts_at is None else parse_instant(starts_at, field="starts_at"),
        context_tokens=_whole(data, "context_tokens"),
        **{name: parse_amount(data[name], field=name) for name in PRICES if data.get(name) is not None},
        **{name: _text(data, name, longest=longest) for name, longest in _TEXTS.items()},
    )


def _subject(data: Mapping[str, Any]) -> tuple[str, str]:
    named = [name for name in _SUBJECTS if data.get(name)]
    if len(named) != 1:
        raise InvalidInput("model", "Name one of model, instance_type and ceiling.")
    if named == ["ceiling"]:
        if data["ceiling"] is not True:
            raise InvalidInput("ceiling", "must be true or false")
        return RateProposal.Kind.CEILING, ""
    return named[0], _text(data, named[0], longest=80)


def _text(data: Mapping[str, Any], name: str, *, longest: int) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str) or "\0" in value or len(value) > longest:
        raise InvalidInput(name, f"must be a text of at most {longest} characters")
    return value


def _whole(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9):
        raise InvalidInput(name, "must be a whole number above zero")
    return value


def _decision(request: Request, pk: str) -> tuple[RateProposal, str]:
    proposal = find_proposal(request, pk)
    body = NoteSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    return proposal, body.validated_data["note"]


def _deviation(one: Deviation) -> dict[str, Any]:
    measures = one.measures
    return {
        "month": f"{one.starts_at:%Y-%m}",
        "model": one.model.id,
        "events": measures.events,
        "provider_cost_events": measures.provider_cost_events,
        "provider_cost": to_text(measures.provider_cost),
        "rated_cost": to_text(measures.compared_cost),
        "difference": to_text(one.difference),
    }


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("rate-cards", RateCardViewSet, "rate-card"),
    ("rate-proposals", RateProposalViewSet, "rate-proposal"),
]
