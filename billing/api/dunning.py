"""Reminders: what was sent and comes, and letting them rest."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import customers, dunning, dunning_pauses, queries
from billing.api.collecting_parts import ID, UUID_PATTERN, NoteBodySerializer, invoice_of, note_of
from billing.models import (
    DunningCharge,
    DunningNotice,
    DunningPause,
    Invoice,
)
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser

NUMBER = OpenApiParameter("number", OpenApiTypes.STR, "path", description="Of the invoice.")


class ChargeSerializer(serializers.ModelSerializer):
    """A fee or interest of a reminder."""

    class Meta:
        model = DunningCharge
        fields = ("kind", "state", "currency", "amount_minor")


class ReminderSerializer(serializers.ModelSerializer):
    """A reminder as it was sent."""

    step = serializers.IntegerField(source="position")
    charges = ChargeSerializer(many=True)

    class Meta:
        model = DunningNotice
        fields = ("step", "stops_calls", "text", "due_minor", "sent_at", "charges")


class DunningPauseSerializer(serializers.ModelSerializer):
    """Reminders that rest; `invoice` is null when all of the organization's do."""

    id = serializers.CharField()
    organization = serializers.CharField(source="organization.slug")
    invoice = serializers.CharField(source="invoice.number", default=None, allow_null=True)

    class Meta:
        model = DunningPause
        fields = (
            "id", "organization", "invoice", "kind", "note", "lifts_stop", "is_by_customer", "starts_at", "ends_at",
            "ended_at", "answer",
        )  # fmt: skip


class PauseBodySerializer(serializers.Serializer):
    """What rests, why, and how long. A promise or dispute is the payer's, the rest is for the marketplace's finance."""

    invoice = serializers.CharField(required=False, max_length=40)
    organization = serializers.CharField(required=False, max_length=100, help_text="In place of invoice.")
    kind = serializers.ChoiceField(choices=DunningPause.Kind.choices)
    note = serializers.CharField(max_length=dunning_pauses.LONGEST_NOTE)
    days = serializers.IntegerField(required=False, min_value=1, help_text="For finance.")
    until = serializers.DateTimeField(required=False, help_text="When a promise is kept.")
    lifts_stop = serializers.BooleanField(required=False, default=False)


class PauseFilter(django_filters.FilterSet):
    """By invoice, organization and kind."""

    invoice = django_filters.CharFilter(field_name="invoice__number")
    organization = django_filters.CharFilter(field_name="organization__slug")
    kind = django_filters.ChoiceFilter(choices=DunningPause.Kind.choices)

    class Meta:
        model = DunningPause
        fields: list[str] = []


@extend_schema(tags=["finance"])
class PauseViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Promises, disputes and other pauses of reminders, of the organizations whose finance the person is."""

    queryset = DunningPause.objects.none()
    serializer_class = DunningPauseSerializer
    filterset_class = PauseFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[DunningPause]:
        seen = customers.customers(actor_of(self.request)).order_by().values("pk")
        return DunningPause.objects.filter(organization__in=seen).select_related("organization", "invoice")

    @extend_schema(request=PauseBodySerializer, responses={201: DunningPauseSerializer})
    def create(self, request: Request) -> Response:
        """Let reminders rest: a payer promises or disputes an invoice, finance grants time."""
        body = PauseBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = self._said(request, body.validated_data)
        return Response(DunningPauseSerializer(made).data, status=status.HTTP_201_CREATED)

    def _said(self, request: Request, typed: dict[str, Any]) -> DunningPause:
        actor, now = actor_of(request), timezone.now()
        invoice = invoice_of(request, typed["invoice"]) if typed.get("invoice") else None
        if invoice is not None and not actor.is_platform(Role.FINANCE):
            said = {"kind": typed["kind"], "note": typed["note"], "until": typed.get("until")}
            return dunning_pauses.say(invoice, **said, by=actor, at=now)
        seen = customers.customers(actor)
        organization = (
            invoice.organization if invoice else seen.filter(slug=typed.get("organization")).first()
        )
        if organization is None:
            raise InvalidInput("organization", "or an invoice is needed")
        return dunning_pauses.grant(
            organization,
            invoice=invoice,
            days=typed.get("days") or dunning_pauses.USUAL_DAYS,
            note=typed["note"],
            kind=typed["kind"],
            lifts_stop=typed["lifts_stop"],
            by=actor,
            at=now,
        )

    @extend_schema(parameters=[ID], request=NoteBodySerializer, responses=DunningPauseSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End a pause before its time; what a customer asked for is answered by the note."""
        pause = access.get(self.get_queryset(), pk=pk)
        dunning_pauses.end(pause, answer=note_of(request), by=actor_of(request), at=timezone.now())
        return Response(DunningPauseSerializer(self.get_queryset().get(pk=pk)).data)


class ReminderViewSet(viewsets.GenericViewSet):
    """What was sent of an invoice, and what comes next."""

    queryset = Invoice.objects.none()
    serializer_class = ReminderSerializer
    lookup_field = "number"
    lookup_value_regex = r"[A-Z0-9-]+"

    @extend_schema(
        tags=["finance"],
        parameters=[NUMBER],
        responses=inline_serializer(
            "Dunning",
            {
                "invoice": serializers.CharField(),
                "state": serializers.CharField(),
                "due_minor": serializers.IntegerField(),
                "next_step": serializers.IntegerField(allow_null=True),
                "next_at": serializers.DateTimeField(allow_null=True),
                "calls_stop_at": serializers.DateTimeField(allow_null=True),
                "rests_until": serializers.DateTimeField(allow_null=True),
                "sent": ReminderSerializer(many=True),
            },
        ),
    )
    def retrieve(self, request: Request, number: str) -> Response:
        """Show how an invoice is reminded of: what was sent, what comes, when calls stop."""
        invoice = access.get(queries.invoices(actor_of(request)), number=number)
        coming = dunning.outlooks(dunning.overdue().filter(pk=invoice.pk), at=timezone.now())
        outlook = coming[0] if coming else None
        following, stop = (outlook.next, outlook.stop) if outlook else (None, None)
        return Response(
            {
                "invoice": invoice.number,
                "state": invoice.state,
                "due_minor": outlook.invoice.due_minor if outlook else 0,
                "next_step": following.position if following else None,
                "next_at": following.at if following else None,
                "calls_stop_at": stop.at if stop else None,
                "rests_until": outlook.pause.ends_at if outlook and outlook.pause else None,
                "sent": ReminderSerializer(dunning.notices_of(invoice), many=True).data,
            }
        )
