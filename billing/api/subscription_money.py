"""/subscriptions/{id}/proration and …/spend-cap: what a step costs before it is agreed, and what a month may cost."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import spend_caps, subscribing
from billing.credit_asks import read_minor
from billing.models import SpendCap
from billing.spend_caps import CapTerms
from billing.subscribing import NOW, PERIOD_END
from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import queries
from marketplace.catalog.models import Subscription
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser

CAP = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {**EXACT_AMOUNT, "description": "At price, fees included, before tax."},
        "mode": {"type": "string", "enum": [mode.value for mode in SpendCap.Mode]},
    },
}


class FeeSerializer(serializers.Serializer):
    """The fee of a plan for its days of the month."""

    plan = serializers.IntegerField(source="plan_id")
    name = serializers.CharField()
    days = serializers.IntegerField()
    of_days = serializers.IntegerField()
    amount_minor = serializers.IntegerField()


class PartSerializer(serializers.Serializer):
    """A line of the change: a credit is below zero."""

    name = serializers.CharField()
    days = serializers.IntegerField()
    of_days = serializers.IntegerField()
    amount_minor = serializers.IntegerField()


class ProrationSerializer(serializers.Serializer):
    """What a step makes of the fees of the month; the difference is the sum of its lines."""

    month = serializers.CharField()
    currency = serializers.CharField()
    starts_at = serializers.DateTimeField(allow_null=True)
    lines = PartSerializer(source="parts", many=True)
    fees = FeeSerializer(many=True)
    before_minor = serializers.IntegerField()
    total_minor = serializers.IntegerField()
    difference_minor = serializers.IntegerField()
    whole_month_minor = serializers.IntegerField()


class SpendCapSerializer(serializers.ModelSerializer):
    """What a subscription may cost a month, in minor units."""

    mode = serializers.CharField()

    class Meta:
        model = SpendCap
        fields = ("amount_minor", "currency", "mode", "set_at")


class ProrationView(APIView):
    """What a change of plan, or an end, makes of the fees of this month."""

    @extend_schema(
        operation_id="subscriptions_proration",
        parameters=[
            OpenApiParameter("plan", str, description="Code of the plan to move to; without it, the end."),
            OpenApiParameter("when", str, enum=[NOW, PERIOD_END], description="As usual when left out."),
        ],
        responses=ProrationSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        found, now = _visible(request, id), timezone.now()
        if found.plan is None:
            raise InvalidInput("subscription", "A sandbox has no fee.")
        code, when = request.query_params.get("plan"), request.query_params.get("when")
        if code is None:
            when = when or NOW
            subscribing.require_time(when)
            money = subscribing.money_of_cancel(found, at=now, when=when)
        else:
            plan = access.get(queries.offered_plans(found.app), code=code)
            when = when or subscribing.usual_time(found.plan, plan, at=now)
            subscribing.require_time(when)
            money = subscribing.money_of_change(found, plan, at=now, when=when)
        return Response(ProrationSerializer(money).data)


class SpendCapView(APIView):
    """The spend cap of a subscription."""

    parser_classes = (FloatFreeJSONParser,)

    @extend_schema(operation_id="subscriptions_spend_cap", responses=SpendCapSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        caps = SpendCap.objects.filter(subscription=_visible(request, id))
        return Response(SpendCapSerializer(access.get(caps)).data)

    @extend_schema(
        operation_id="subscriptions_set_spend_cap",
        request={"application/json": CAP},
        responses=SpendCapSerializer,
    )
    def put(self, request: Request, id: UUID) -> Response:
        found = _own(request, id)
        if found.plan is None:
            raise InvalidInput("cap", "A sandbox has its credit instead.")
        body: Any = request.data if isinstance(request.data, dict) else {}
        amount_minor = read_minor(body.get("amount"), field="amount", currency=found.plan.currency)
        terms = CapTerms(amount_minor, str(body.get("mode", SpendCap.Mode.HARD)))
        cap = spend_caps.put(found, terms=terms, by=actor_of(request), at=timezone.now())
        return Response(SpendCapSerializer(cap).data)

    @extend_schema(operation_id="subscriptions_remove_spend_cap", responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:
        spend_caps.remove(_own(request, id), by=actor_of(request), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _visible(request: Request, id: UUID) -> Subscription:
    return access.get(queries.visible_subscriptions(actor_of(request)), pk=id)


def _own(request: Request, id: UUID) -> Subscription:
    found = _visible(request, id)
    access.require(
        queries.may_manage(found, actor=actor_of(request)),
        message=f"Only consumers of {found.team} manage its subscriptions.",
    )
    return found
