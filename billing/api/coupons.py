"""/coupons and /coupon-redemptions: finance makes and ends coupons, subscribers redeem them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import coupon_queries, coupons
from billing.coupons import CouponTerms
from billing.models import Coupon, CouponRedemption
from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import queries
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TEXTS = {"type": "array", "items": {"type": "string"}}
REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["code", "title"],
    "properties": {
        "code": {"type": "string", "minLength": 3, "maxLength": coupons.LONGEST_CODE},
        "title": {"type": "string", "maxLength": 100},
        "scope": {"type": "string", "enum": Coupon.Scope.values, "default": "plan"},
        "percent": {**EXACT_AMOUNT, "description": "10 is ten percent. Either this or an amount."},
        "amount": {**EXACT_AMOUNT, "description": "In major units of the currency."},
        "currency": {"type": "string", "description": "With an amount."},
        "duration": {"type": "string", "enum": Coupon.Duration.values, "default": "once"},
        "months": {"type": "integer", "description": "When it is repeating."},
        "charges": {**_TEXTS, "description": "With the scope line; none is all."},
        "apps": {**_TEXTS, "description": "Slugs; none is all."},
        "plans": {**_TEXTS, "description": "app/plan; none is all."},
        "expires_at": {"type": "string", "format": "date-time"},
        "most_redemptions": {"type": "integer", "minimum": 1},
    },
}
REDEMPTION = {
    "type": "object",
    "required": ["code", "subscription"],
    "properties": {"code": {"type": "string"}, "subscription": {"type": "string", "format": "uuid"}},
}


class CouponCostSerializer(serializers.Serializer):
    """What a coupon took off issued bills so far."""

    currency = serializers.CharField()
    amount_minor = serializers.IntegerField()
    bills = serializers.IntegerField()


class CouponSerializer(serializers.ModelSerializer):
    """A coupon, with what it cost so far."""

    percent = serializers.SerializerMethodField()
    costs = serializers.SerializerMethodField()

    class Meta:
        model = Coupon
        fields = (
            "code", "title", "state", "scope", "percent", "amount_minor", "currency", "duration", "months", "charges",
            "apps", "plans", "expires_at", "most_redemptions", "redemptions_count", "created_at", "costs",
        )  # fmt: skip

    def get_percent(self, coupon: Coupon) -> str | None:
        return coupon.percent_text or None

    @extend_schema_field(CouponCostSerializer(many=True))
    def get_costs(self, coupon: Coupon) -> list[dict[str, Any]]:
        found = self.context.get("costs", {}).get(coupon.code, [])
        return list(CouponCostSerializer(found, many=True).data)


class RedemptionSerializer(serializers.ModelSerializer):
    """A coupon at work. Without a subscription it takes something off all of the payer's bills."""

    id = serializers.CharField()
    coupon = serializers.CharField(source="coupon.code")
    subscription = serializers.CharField(source="subscription_id", allow_null=True)
    organization = serializers.CharField(source="organization.slug")
    cost_center = serializers.CharField(source="cost_center.code", allow_null=True, default=None)

    class Meta:
        model = CouponRedemption
        fields = (
            "id", "coupon", "subscription", "organization", "cost_center", "starts_on", "ends_on", "redeemed_at",
        )  # fmt: skip


class CouponFilter(django_filters.FilterSet):
    """By state."""

    state = django_filters.ChoiceFilter(choices=Coupon.State.choices)

    class Meta:
        model = Coupon
        fields: list[str] = []


@extend_schema(tags=["finance"])
class CouponViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Coupons, for the marketplace's finance."""

    queryset = Coupon.objects.none()
    serializer_class = CouponSerializer
    filterset_class = CouponFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_field = "code"
    lookup_value_regex = "[A-Za-z0-9_-]+"

    def get_queryset(self) -> QuerySet[Coupon]:
        return coupon_queries.coupons(actor_of(self.request))

    def get_object(self) -> Coupon:
        return access.get(self.get_queryset(), code=self.kwargs["code"])

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List coupons with what they cost so far."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(_written(page))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show a coupon with what it cost so far."""
        return Response(_written([self.get_object()])[0])

    @extend_schema(request={"application/json": REQUEST}, responses={201: CouponSerializer})
    def create(self, request: Request) -> Response:
        """Make a coupon. What it gives never changes."""
        made = coupons.make(_terms(request.data), by=actor_of(request), at=timezone.now())
        return Response(_written([made])[0], status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=CouponSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, code: str) -> Response:
        """Let nobody redeem it any more; what was redeemed goes on."""
        coupon = self.get_object()
        coupons.end(coupon, by=actor_of(request), at=timezone.now())
        return Response(_written([coupon])[0])


@extend_schema(tags=["subscriptions"])
class RedemptionViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Coupons at work, of the person's subscriptions and bills; all of them for the marketplace's finance."""

    queryset = CouponRedemption.objects.none()
    serializer_class = RedemptionSerializer
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID

    def get_queryset(self) -> QuerySet[CouponRedemption]:
        return coupon_queries.redemptions(actor_of(self.request))

    @extend_schema(request={"application/json": REDEMPTION}, responses={201: RedemptionSerializer})
    def create(self, request: Request) -> Response:
        """Redeem a coupon for a subscription, or for who pays for it when the coupon is for whole bills."""
        body, actor = _body(request.data, REDEMPTION), actor_of(request)
        found = queries.visible_subscriptions(actor)
        subscription = access.get(found, pk=body.get("subscription"))
        made = coupons.redeem(
            str(body.get("code") or ""), subscription=subscription, by=actor, at=timezone.now()
        )
        return Response(RedemptionSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=None,
        responses=RedemptionSerializer,
        parameters=[OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the redemption.")],
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Take it off from next month on; for finance."""
        redemption = access.get(self.get_queryset(), pk=pk)
        coupons.take_off(redemption, by=actor_of(request), at=timezone.now())
        return Response(RedemptionSerializer(redemption).data)


def _written(found: list[Coupon]) -> list[dict[str, Any]]:
    context = {"costs": coupon_queries.costs(found)}
    return list(CouponSerializer(found, many=True, context=context).data)


def _body(data: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in schema["properties"]:
            raise InvalidInput(name, "is not a field", code="unknown_field")
    return data


def _terms(data: Any) -> CouponTerms:
    body = _body(data, REQUEST)
    return CouponTerms(
        code=_text(body, "code"),
        title=_text(body, "title"),
        scope=_text(body, "scope") or "plan",
        percent=_amount(body, "percent"),
        amount=_amount(body, "amount"),
        currency=_text(body, "currency"),
        duration=_text(body, "duration") or "once",
        months=_whole(body, "months"),
        charges=_texts(body, "charges"),
        apps=_texts(body, "apps"),
        plans=_texts(body, "plans"),
        expires_at=_instant(body, "expires_at"),
        most_redemptions=_whole(body, "most_redemptions"),
    )


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(name, "must be a text")
    return value or ""


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= 100 for one in value):
        raise InvalidInput(name, "must be a list of texts of at most 100 characters", limit=100)
    return tuple(dict.fromkeys(value))


def _amount(body: dict[str, Any], name: str) -> Decimal | None:
    return None if body.get(name) is None else parse_amount(body[name], field=name)


def _whole(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidInput(name, "must be a whole number", code="not_whole")
    return value


def _instant(body: dict[str, Any], name: str) -> datetime | None:
    return None if body.get(name) is None else parse_instant(body[name], field=name)
