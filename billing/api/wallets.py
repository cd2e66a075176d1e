"""/wallets: what is left of money paid ahead and of credit that was given, what moved, and putting in and paying back."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import wallet_queries, wallet_spending, wallets
from billing.credit_asks import read_minor
from billing.models import Wallet, WalletCredit, WalletMovement
from billing.wallets import NewCredit
from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant

_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the wallet.")
KINDS = [kind.value for kind in WalletCredit.Kind]
CREDIT = {
    "type": "object",
    "required": ["kind", "amount", "reference"],
    "properties": {
        "kind": {"type": "string", "enum": KINDS},
        "amount": EXACT_AMOUNT,
        "reference": {"type": "string", "maxLength": 100, "description": "Once per wallet."},
        "expires_at": {"type": "string", "format": "date-time", "nullable": True},
    },
}
REFUND = {
    "type": "object",
    "required": ["amount", "reference"],
    "properties": {"amount": EXACT_AMOUNT, "reference": {"type": "string", "maxLength": 100}},
}


class WalletSerializer(serializers.ModelSerializer):
    """A balance in one currency, in minor units."""

    id = serializers.CharField()
    organization = serializers.CharField(source="organization.slug")
    cost_center = serializers.CharField(source="cost_center.code", default=None)

    class Meta:
        model = Wallet
        fields = (
            "id", "organization", "cost_center", "currency", "balance_minor", "low_balance_minor", "created_at",
        )  # fmt: skip


class WalletCreditSerializer(serializers.ModelSerializer):
    """An amount that went in, and what is left of it."""

    id = serializers.CharField()
    kind = serializers.CharField()

    class Meta:
        model = WalletCredit
        fields = ("id", "kind", "amount_minor", "left_minor", "expires_at", "reference", "granted_at")


class WalletMovementSerializer(serializers.ModelSerializer):
    """What went in or out, and what was left then."""

    id = serializers.CharField()
    kind = serializers.CharField()
    credit = serializers.CharField(source="credit_id")
    invoice = serializers.CharField(source="invoice.number", default=None)

    class Meta:
        model = WalletMovement
        fields = (
            "id", "kind", "credit", "amount_minor", "balance_minor", "invoice", "reference", "moved_at",
        )  # fmt: skip


@extend_schema(tags=["finance"])
class WalletViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Wallets that the person may see: finance those of its organization, owners those of their cost centers."""

    queryset = Wallet.objects.none()
    serializer_class = WalletSerializer
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

    def get_queryset(self) -> QuerySet[Wallet]:
        if getattr(self, "swagger_fake_view", False):
            return Wallet.objects.none()
        return wallets.visible(actor_of(self.request)).order_by("pk")

    def get_object(self) -> Wallet:
        return access.get(self.get_queryset(), pk=UUID(self.kwargs["pk"]))

    @extend_schema(responses=WalletSerializer, parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one."""
        return Response(WalletSerializer(self.get_object()).data)

    @extend_schema(methods=["GET"], responses=WalletCreditSerializer(many=True), parameters=[_ID])
    @extend_schema(
        methods=["POST"],
        request={"application/json": CREDIT},
        responses={201: WalletCreditSerializer},
        parameters=[_ID],
    )
    @action(detail=True, methods=["get", "post"])
    def credits(self, request: Request, pk: str) -> Response:
        """List what is left in the order of its use; a POST puts more in (finance of the marketplace)."""
        wallet, now = self.get_object(), timezone.now()
        if request.method == "POST":
            actor = actor_of(request)
            credit = wallets.add(wallet, new=_new_credit(request, wallet), by=actor, at=now)
            wallet_spending.pay_open(wallet, at=now, by=actor.user)
            credit.refresh_from_db()
            return Response(WalletCreditSerializer(credit).data, status=status.HTTP_201_CREATED)
        page = self.paginate_queryset(wallet.credits.filter(left_minor__gt=0).order_by("pk"))
        return self.get_paginated_response(WalletCreditSerializer(page, many=True).data)

    @extend_schema(responses=WalletMovementSerializer(many=True), parameters=[_ID])
    @action(detail=True, methods=["get"])
    def movements(self, request: Request, pk: str) -> Response:
        """List what moved, the statement of the wallet."""
        page = self.paginate_queryset(wallet_queries.movements_of(self.get_object()))
        return self.get_paginated_response(WalletMovementSerializer(page, many=True).data)

    @extend_schema(request={"application/json": REFUND}, responses=WalletSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def refund(self, request: Request, pk: str) -> Response:
        """Record that money paid ahead went back (finance of the marketplace)."""
        wallet, body = self.get_object(), _body(request, REFUND)
        wallets.refund(
            wallet,
            amount_minor=read_minor(body.get("amount"), field="amount", currency=wallet.currency),
            reference=_text(body, "reference"),
            by=actor_of(request),
            at=timezone.now(),
        )
        wallet.refresh_from_db()
        return Response(WalletSerializer(wallet).data)


def _new_credit(request: Request, wallet: Wallet) -> NewCredit:
    body = _body(request, CREDIT)
    kind, expires_at = body.get("kind"), body.get("expires_at")
    if kind not in KINDS:
        raise InvalidInput("kind", f"must be one of {', '.join(KINDS)}")
    return NewCredit(
        str(kind),
        read_minor(body.get("amount"), field="amount", currency=wallet.currency),
        _text(body, "reference"),
        parse_instant(expires_at, field="expires_at") if expires_at is not None else None,
    )


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidInput(name, "must be a text")
    return value.strip()


def _body(request: Request, schema: dict[str, Any]) -> dict[str, Any]:
    body = request.data
    if not isinstance(body, dict):
        raise InvalidInput("", "must be an object")
    for name in body:
        if name not in schema["properties"]:
            raise InvalidInput(name, "is not a field", code="unknown_field")
    return body
