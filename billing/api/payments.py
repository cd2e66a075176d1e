"""Payments of invoices: what came in, and what went back."""

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import queries
from billing.api.collecting_parts import ID, UUID_PATTERN
from billing.credit_asks import read_minor
from billing.models import (
    ReceivedPayment,
)
from billing.settling import reverse_payment
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.parsers import FloatFreeJSONParser


class PaymentSerializer(serializers.ModelSerializer):
    """Money that came in for an invoice; what went back of it again is `reversed_minor`."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number")
    currency = serializers.CharField(source="invoice.currency")
    reversed_minor = serializers.SerializerMethodField()

    class Meta:
        model = ReceivedPayment
        fields = (
            "id", "invoice", "amount_minor", "reversed_minor", "currency", "source", "is_recovery", "reference",
            "received_date", "recorded_at",
        )  # fmt: skip

    def get_reversed_minor(self, payment: ReceivedPayment) -> int:
        return sum(one.amount_minor for one in payment.reversals.all())


class ReversalBodySerializer(serializers.Serializer):
    """A payment that went back."""

    amount = serializers.CharField(help_text="A decimal string in major units.")
    reference = serializers.CharField(max_length=100)
    reason = serializers.CharField(max_length=500)


class PaymentFilter(django_filters.FilterSet):
    """By invoice, organization and where it came from."""

    invoice = django_filters.CharFilter(field_name="invoice__number")
    organization = django_filters.CharFilter(field_name="invoice__organization__slug")
    source = django_filters.ChoiceFilter(choices=ReceivedPayment.Source.choices)

    class Meta:
        model = ReceivedPayment
        fields: list[str] = []


@extend_schema(tags=["finance"])
class PaymentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Payments of the invoices that the person may see."""

    queryset = ReceivedPayment.objects.none()
    serializer_class = PaymentSerializer
    filterset_class = PaymentFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[ReceivedPayment]:
        visible = queries.invoices(actor_of(self.request)).order_by().values("pk")
        found = ReceivedPayment.objects.filter(invoice__in=visible).select_related("invoice")
        return found.prefetch_related("reversals")

    @extend_schema(parameters=[ID], request=ReversalBodySerializer, responses=PaymentSerializer)
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, pk: str) -> Response:
        """Record that a payment bounced or was taken back; the invoice is due again for as much."""
        actor = actor_of(request)
        payment = access.get(self.get_queryset(), pk=pk)
        access.require_platform(actor, Role.FINANCE)
        body = ReversalBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        typed = body.validated_data
        reverse_payment(
            payment,
            amount_minor=read_minor(typed["amount"], field="amount", currency=payment.invoice.currency),
            reference=typed["reference"],
            reason=typed["reason"],
            by=actor.user,
            at=timezone.now(),
        )
        return Response(PaymentSerializer(self.get_queryset().get(pk=pk)).data)
