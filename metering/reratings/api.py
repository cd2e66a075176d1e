"""/re-ratings in the management API: rating usage anew after a price was wrong."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
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
from metering.models import RateCard, Rerating
from metering.proposals import PROPOSERS, TOKEN_PRICES
from metering.reratings import pages, proposing
from metering.reratings.pages import Totals

PRICES = (*TOKEN_PRICES, "price_per_hour")
_SUBJECTS = ("model", "instance_type")
_FIELDS = (*_SUBJECTS, *PRICES, "rate_card", "currency", "starts_at", "ends_at", "reason")
_SUMS = {
    "events": {"type": "integer"},
    "old_cost": EXACT_AMOUNT,
    "new_cost": EXACT_AMOUNT,
    "difference": EXACT_AMOUNT,
}
SUMS = {"type": "object", "properties": _SUMS}
PARTS = {
    "type": "object",
    "properties": {
        "currency": {"type": "string"},
        "totals": SUMS,
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "organization": {"type": "string"},
                    "app": {"type": "string"},
                    "cost_center": {"type": "string"},
                    "period": {"type": "string", "example": "2026-11"},
                    **_SUMS,
                },
            },
        },
    },
}
REQUEST = {
    "type": "object",
    "required": ["starts_at", "ends_at", "reason"],
    "properties": {
        "model": {"type": "string"},
        "instance_type": {"type": "string", "description": "In place of model."},
        "starts_at": {"type": "string", "format": "date-time", "description": "A day or an RFC 3339 time."},
        "ends_at": {"type": "string", "format": "date-time", "description": "Excluded; not in the future."},
        "rate_card": {"type": "string", "description": "Whose prices should have applied; or give them."},
        **dict.fromkeys(PRICES, EXACT_AMOUNT),
        "currency": {"type": "string", "description": "Left out, or that of the marketplace."},
        "reason": {"type": "string"},
    },
}


class ReratingSerializer(serializers.ModelSerializer):
    """Usage that is rated anew, what it would change, and what was decided."""

    id = serializers.CharField(read_only=True)
    input_per_mtok = AmountField(read_only=True)
    cached_input_per_mtok = AmountField(read_only=True)
    cache_write_per_mtok = AmountField(read_only=True)
    output_per_mtok = AmountField(read_only=True)
    reasoning_per_mtok = AmountField(read_only=True)
    price_per_hour = AmountField(read_only=True)
    rate_card = serializers.CharField(source="rate_card_id", read_only=True, default=None)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)
    preview = serializers.SerializerMethodField()
    applied_difference = AmountField(read_only=True)

    class Meta:
        model = Rerating
        fields = (
            "id", "kind", "subject", "state", "starts_at", "ends_at", "currency", *PRICES, "rate_card", "reason",
            "proposed_by", "proposed_at", "previewed_at", "preview", "decided_by", "decided_at", "decision_note",
            "applied_at", "applied_events", "applied_difference",
        )  # fmt: skip

    @extend_schema_field(SUMS | {"nullable": True, "description": "Null while it is being worked out."})
    def get_preview(self, rerating: Rerating) -> dict[str, Any] | None:
        if rerating.previewed_at is None:
            return None
        known = self.context.get("totals", {})
        return _sums(known.get(rerating.pk) or pages.totals(rerating))


class ReratingNoteSerializer(serializers.Serializer):
    """The note of a decision on a re-rating."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class ReratingFilter(filters.FilterSet):
    class Meta:
        model = Rerating
        fields = ("state", "kind", "subject")


_ID = [OpenApiParameter("id", OpenApiTypes.INT, "path", description="Of the re-rating.")]


@extend_schema(tags=["models"])
class ReratingViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Re-ratings, for finance, operators and approvers of the platform."""

    queryset = Rerating.objects.select_related("proposed_by", "decided_by")
    serializer_class = ReratingSerializer
    filterset_class = ReratingFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = "[0-9a-f-]+"

    def get_queryset(self) -> QuerySet[Rerating]:
        if not getattr(self, "swagger_fake_view", False):
            access.require_platform(actor_of(self.request), *sorted(PLATFORM_ROLES))
        return super().get_queryset()

    def get_object(self) -> Rerating:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List them, the newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        totals = {one.pk: sums for one, sums in pages.with_sums(page)}
        shown = ReratingSerializer(page, many=True, context={"totals": totals})
        return self.get_paginated_response(shown.data)

    @extend_schema(parameters=_ID)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one; poll this while it is worked out or written."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="re_ratings_propose",
        summary="Propose to rate usage anew",
        description=(
            "Of a model or an instance type, in a stretch of time, at the prices that should have held. What it would "
            "change is worked out in the background; then a second person decides, and a job adds the difference to "
            "each event as a linked correction. Limits do not move. 409 while another of the same thing is open."
        ),
        request={"application/json": REQUEST},
        responses={201: ReratingSerializer},
    )
    def create(self, request: Request) -> Response:
        access.require_platform(actor_of(request), *sorted(PROPOSERS))
        asked = read_rerating(request.data, currency=settings.CURRENCY)
        made = proposing.propose(asked, by=actor_of(request), at=timezone.now())
        return Response(ReratingSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="re_ratings_parts",
        summary="What it would change, by payer, app and billing month",
        parameters=_ID,
        responses={(200, "application/json"): PARTS},
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def parts(self, request: Request, pk: str) -> Response:
        """List what was decided on, the largest difference first."""
        rerating = self.get_object()
        rows = [
            {
                "organization": one.organization,
                "app": one.app,
                "cost_center": one.cost_center,
                "period": f"{one.period:%Y-%m}",
                **_sums(one),
            }
            for one in pages.parts(rerating)
        ]
        totals = _sums(pages.totals(rerating))
        return Response({"currency": rerating.currency, "totals": totals, "results": rows})

    @extend_schema(request=ReratingNoteSerializer, responses=ReratingSerializer, parameters=_ID)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve what the preview says; it is written in the background."""
        rerating, note = self.get_object(), _note(request)
        proposing.approve(rerating, by=actor_of(request), at=timezone.now(), note=note)
        return Response(ReratingSerializer(rerating).data)

    @extend_schema(request=ReratingNoteSerializer, responses=ReratingSerializer, parameters=_ID)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject it, with a note that says why."""
        rerating, note = self.get_object(), _note(request)
        proposing.reject(rerating, by=actor_of(request), at=timezone.now(), note=note)
        return Response(ReratingSerializer(rerating).data)

    @extend_schema(request=None, responses=ReratingSerializer, parameters=_ID)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own re-rating back."""
        rerating = self.get_object()
        proposing.withdraw(rerating, by=actor_of(request), at=timezone.now())
        return Response(ReratingSerializer(rerating).data)


def read_rerating(data: Any, *, currency: str) -> Rerating:
    """Read the body of a re-rating, unsaved. Raises InvalidInput by field."""
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in _FIELDS:
            raise InvalidInput(name, f"is not a field; there are {', '.join(_FIELDS)}", code="unknown_field")
    if data.get("currency") not in (None, currency):
        raise InvalidInput("currency", f"must be {currency}, in which usage is rated here")
    kind, subject = _subject(data)
    return Rerating(
        kind=kind,
        subject=subject,
        starts_at=parse_instant(data.get("starts_at"), field="starts_at"),
        ends_at=parse_instant(data.get("ends_at"), field="ends_at"),
        currency=currency,
        rate_card=_rate_card(data),
        reason=_text(data, "reason", longest=proposing.LONGEST_TEXT),
        **{name: parse_amount(data[name], field=name) for name in PRICES if data.get(name) is not None},
    )


def _subject(data: Mapping[str, Any]) -> tuple[str, str]:
    named = [name for name in _SUBJECTS if data.get(name)]
    if len(named) != 1:
        raise InvalidInput("model", "Name one of model and instance_type.")
    return named[0], _text(data, named[0], longest=80)


def _rate_card(data: Mapping[str, Any]) -> RateCard | None:
    asked = data.get("rate_card")
    if asked is None:
        return None
    found = RateCard.objects.filter(pk=int(asked)).first() if str(asked).isdecimal() else None
    if found is None:
        raise InvalidInput("rate_card", "There is no such rate card.")
    return found


def _text(data: Mapping[str, Any], name: str, *, longest: int) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str) or "\0" in value or len(value) > longest:
        raise InvalidInput(name, f"must be a text of at most {longest} characters")
    return value


def _note(request: Request) -> str:
    body = ReratingNoteSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    note: str = body.validated_data["note"]
    return note


def _sums(totals: Totals) -> dict[str, Any]:
    return {
        "events": totals.events,
        "old_cost": to_text(totals.old_cost),
        "new_cost": to_text(totals.new_cost),
        "difference": to_text(totals.difference),
    }


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [("re-ratings", ReratingViewSet, "re-rating")]
