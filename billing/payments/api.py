"""The management API of payments: what the processor tells us, paying an invoice, ways to pay, and payments."""

import json
from typing import Any

from django.db.models import QuerySet
from django.urls import URLPattern, path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.models import PaymentAttempt, PaymentMethod
from billing.payments import attempts, queries, webhooks
from billing.payments.house import house_processor
from billing.payments.processor import BadSignature, ProcessorAway
from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser

MAX_BODY = 1024 * 1024


class StripeWebhook(APIView):
    """Where Stripe tells us what happened; the signature is what it shows."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="webhooks_stripe",
        tags=["finance"],
        summary="Take an event of Stripe",
        description="Kept with its signature checked, each event once, whatever its type; read afterwards by a job.",
        auth=[],
        request=OpenApiTypes.OBJECT,
        parameters=[OpenApiParameter("Stripe-Signature", str, OpenApiParameter.HEADER, required=True)],
        responses={200: OpenApiTypes.OBJECT, 400: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        body = request._request.body
        if len(body) > MAX_BODY:
            raise InvalidInput("", f"is larger than {MAX_BODY:,} bytes", limit=MAX_BODY)
        try:
            event = webhooks.receive(
                body,
                signature=request.headers.get("Stripe-Signature", ""),
                processor=house_processor(),
                at=timezone.now(),
            )
        except (BadSignature, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InvalidInput("", "is no event that Stripe signed lately", code="bad_signature") from error
        return Response({"received": event.pk})


class CardPaymentSerializer(serializers.ModelSerializer):
    """One payment of an invoice by card or debit."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number")
    organization = serializers.CharField(source="invoice.organization.slug")
    method = serializers.SerializerMethodField(
        help_text="Brand and last digits; null when the payer chooses on a page."
    )
    next_url = serializers.CharField(
        source="page_url", help_text="Where the payer has to go on, if anywhere."
    )
    fee_minor = serializers.IntegerField(
        default=None, allow_null=True, help_text="Known some time after it succeeded."
    )

    class Meta:
        model = PaymentAttempt
        fields = (
            "id", "invoice", "organization", "state", "amount_minor", "currency", "method", "is_automatic",
            "failure_code", "failure_message", "next_url", "fee_minor", "created_at", "ended_at",
        )  # fmt: skip

    def get_method(self, attempt: PaymentAttempt) -> str | None:
        return str(attempt.method) if attempt.method else None


class PayBodySerializer(serializers.Serializer):
    """How an invoice is to be paid."""

    method = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="A way to pay; without one the default, and without that a page.",
    )
    return_url = serializers.URLField(
        help_text="Where the payer comes back to from the bank or the page; `{attempt}` becomes the payment's id."
    )


class PayView(APIView):
    """Pay what is due of an invoice."""

    parser_classes = (FloatFreeJSONParser,)

    @extend_schema(
        operation_id="invoices_pay",
        tags=["finance"],
        request=PayBodySerializer,
        responses={201: CardPaymentSerializer, 202: CardPaymentSerializer},
        summary="Pay an invoice by card or debit",
        description="All that is due. 202: the processor has not answered; it is asked again, and nothing is taken twice. "
        "While a payment is under way another one is refused with 409.",
    )
    def post(self, request: Request, number: str) -> Response:
        actor, now = actor_of(request), timezone.now()
        invoice = access.get(queries.payable_invoices(actor), number=number)
        body = PayBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        method = _method(request, invoice.organization_id, body.validated_data)
        processor = house_processor()
        made = attempts.pay(
            invoice, method=method, return_url=body.validated_data["return_url"], by=actor, at=now
        )
        try:
            made = attempts.carry_out(made, processor=processor, at=now)
        except ProcessorAway:
            return Response(CardPaymentSerializer(made).data, status=status.HTTP_202_ACCEPTED)
        return Response(CardPaymentSerializer(made).data, status=status.HTTP_201_CREATED)


def _method(request: Request, organization_id: int, typed: dict[str, Any]) -> PaymentMethod | None:
    mine = queries.methods(actor_of(request)).filter(customer__organization=organization_id)
    if typed.get("method"):
        return access.get(mine, pk=typed["method"])
    return mine.filter(is_default=True).first()


class PaymentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Payments by card and debit that the person may see."""

    queryset = PaymentAttempt.objects.none()
    serializer_class = CardPaymentSerializer
    filterset_fields = ("state", "currency")

    def get_queryset(self) -> QuerySet[PaymentAttempt]:
        return queries.attempts(actor_of(self.request))

    @extend_schema(tags=["finance"])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List payments by card and debit, newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(tags=["finance"])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one payment."""
        return super().retrieve(request, *args, **kwargs)


ROUTES: list[tuple[str, type, str]] = [("card-payments", PaymentViewSet, "card-payment")]
PATHS: list[URLPattern] = [
    path("webhooks/stripe", StripeWebhook.as_view(), name="stripe-webhook"),
    path("invoices/<str:number>/pay", PayView.as_view(), name="invoice-pay"),
]
