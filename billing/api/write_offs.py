"""Write-offs: giving up what is due, and deciding on it."""

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import write_offs
from billing.api.collecting_parts import ID, UUID_PATTERN, NoteBodySerializer, invoice_of, note_of
from billing.house import collecting_terms
from billing.models import (
    WriteOff,
)
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.parsers import FloatFreeJSONParser


class WriteOffSerializer(serializers.ModelSerializer):
    """What is given up of an invoice, or proposed to be."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number")
    currency = serializers.CharField(source="invoice.currency")

    class Meta:
        model = WriteOff
        fields = (
            "id", "invoice", "kind", "state", "currency", "amount_minor", "tax_minor", "creator_minor", "reason",
            "needs_second_person", "proposed_at", "decided_at", "decision_note", "posted_at",
        )  # fmt: skip


class WriteOffBodySerializer(serializers.Serializer):
    """What to give up, and why."""

    invoice = serializers.CharField(max_length=40)
    reason = serializers.CharField(max_length=write_offs.LONGEST_REASON)
    takes_tax_back = serializers.BooleanField(required=False, default=True)


class WriteOffFilter(django_filters.FilterSet):
    """By invoice and state."""

    invoice = django_filters.CharFilter(field_name="invoice__number")
    state = django_filters.ChoiceFilter(choices=WriteOff.State.choices)

    class Meta:
        model = WriteOff
        fields: list[str] = []


@extend_schema(tags=["finance"])
class WriteOffViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Write-offs, for the marketplace's own finance."""

    queryset = WriteOff.objects.none()
    serializer_class = WriteOffSerializer
    filterset_class = WriteOffFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[WriteOff]:
        access.require_platform(actor_of(self.request), Role.FINANCE)
        return write_offs.all_of_them()

    @extend_schema(request=WriteOffBodySerializer, responses={201: WriteOffSerializer})
    def create(self, request: Request) -> Response:
        """Give up all that is due of an invoice; much of it waits for a second person."""
        actor = actor_of(request)
        access.require_platform(actor, Role.FINANCE)
        body = WriteOffBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = write_offs.propose(
            invoice_of(request, body.validated_data["invoice"]),
            reason=body.validated_data["reason"],
            takes_tax_back=body.validated_data["takes_tax_back"],
            by=actor,
            at=timezone.now(),
            terms=collecting_terms(),
        )
        return Response(WriteOffSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(parameters=[ID], request=NoteBodySerializer, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a write-off of somebody else: what is due now is posted."""
        return self._decide(request, pk, "approve")

    @extend_schema(parameters=[ID], request=NoteBodySerializer, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject a write-off of somebody else, with a note that says why."""
        return self._decide(request, pk, "reject")

    @extend_schema(parameters=[ID], request=None, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        return self._decide(request, pk, "withdraw")

    def _decide(self, request: Request, pk: str, decision: str) -> Response:
        made = access.get(self.get_queryset(), pk=pk)
        write_offs.decide(
            made,
            decision,
            note=note_of(request),
            by=actor_of(request),
            at=timezone.now(),
            terms=collecting_terms(),
        )
        return Response(WriteOffSerializer(self.get_queryset().get(pk=pk)).data)
