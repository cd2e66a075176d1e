"""Payments, reminders, write-offs and bank statements: what came in, what is asked for, what is given up."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from billing import bank_imports, customers, dunning, dunning_pauses, queries, write_offs
from billing.bank_models import BankLine
from billing.credit_asks import read_minor
from billing.house import collecting_terms
from billing.models import (
    BankImport,
    DunningCharge,
    DunningNotice,
    DunningPause,
    Invoice,
    ReceivedPayment,
    WriteOff,
)
from billing.settling import reverse_payment
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.parsers import FloatFreeJSONParser

UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path")
_NUMBER = OpenApiParameter("number", OpenApiTypes.STR, "path", description="Of the invoice.")


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

    @extend_schema(parameters=[_ID], request=ReversalBodySerializer, responses=PaymentSerializer)
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


class NoteBodySerializer(serializers.Serializer):
    """A word about a decision."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


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
            _invoice(request, body.validated_data["invoice"]),
            reason=body.validated_data["reason"],
            takes_tax_back=body.validated_data["takes_tax_back"],
            by=actor,
            at=timezone.now(),
            terms=collecting_terms(),
        )
        return Response(WriteOffSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(parameters=[_ID], request=NoteBodySerializer, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a write-off of somebody else: what is due now is posted."""
        return self._decide(request, pk, "approve")

    @extend_schema(parameters=[_ID], request=NoteBodySerializer, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject a write-off of somebody else, with a note that says why."""
        return self._decide(request, pk, "reject")

    @extend_schema(parameters=[_ID], request=None, responses=WriteOffSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        return self._decide(request, pk, "withdraw")

    def _decide(self, request: Request, pk: str, decision: str) -> Response:
        made = access.get(self.get_queryset(), pk=pk)
        write_offs.decide(
            made,
            decision,
            note=_note(request),
            by=actor_of(request),
            at=timezone.now(),
            terms=collecting_terms(),
        )
        return Response(WriteOffSerializer(self.get_queryset().get(pk=pk)).data)


def _note(request: Request) -> str:
    body = NoteBodySerializer(data=request.data)
    body.is_valid(raise_exception=True)
    return str(body.validated_data["note"])


def _invoice(request: Request, number: str) -> Invoice:
    found = queries.invoices(actor_of(request)).filter(number=number).first()
    if found is None:
        raise InvalidInput("invoice", "is not the number of an invoice", code="unknown_invoice")
    return found


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


class PauseSerializer(serializers.ModelSerializer):
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
    serializer_class = PauseSerializer
    filterset_class = PauseFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[DunningPause]:
        seen = customers.customers(actor_of(self.request)).order_by().values("pk")
        return DunningPause.objects.filter(organization__in=seen).select_related("organization", "invoice")

    @extend_schema(request=PauseBodySerializer, responses={201: PauseSerializer})
    def create(self, request: Request) -> Response:
        """Let reminders rest: a payer promises or disputes an invoice, finance grants time."""
        body = PauseBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = self._said(request, body.validated_data)
        return Response(PauseSerializer(made).data, status=status.HTTP_201_CREATED)

    def _said(self, request: Request, typed: dict[str, Any]) -> DunningPause:
        actor, now = actor_of(request), timezone.now()
        invoice = _invoice(request, typed["invoice"]) if typed.get("invoice") else None
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

    @extend_schema(parameters=[_ID], request=NoteBodySerializer, responses=PauseSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End a pause before its time; what a customer asked for is answered by the note."""
        pause = access.get(self.get_queryset(), pk=pk)
        dunning_pauses.end(pause, answer=_note(request), by=actor_of(request), at=timezone.now())
        return Response(PauseSerializer(self.get_queryset().get(pk=pk)).data)


class ReminderViewSet(viewsets.GenericViewSet):
    """What was sent of an invoice, and what comes next."""

    queryset = Invoice.objects.none()
    serializer_class = ReminderSerializer
    lookup_field = "number"
    lookup_value_regex = r"[A-Z0-9-]+"

    @extend_schema(
        tags=["finance"],
        parameters=[_NUMBER],
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


class BankLineSerializer(serializers.ModelSerializer):
    """A movement on the bank account, and what it pays or seems to."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number", default=None, allow_null=True)
    line = serializers.IntegerField(source="position")

    class Meta:
        model = BankLine
        fields = (
            "id", "line", "account", "reference", "booked_on", "amount_minor", "currency", "name", "text", "state",
            "invoice", "how", "note",
        )  # fmt: skip


class BankImportSerializer(serializers.ModelSerializer):
    """A bank statement that was read in; `errors` name lines that could not be."""

    id = serializers.CharField()
    format = serializers.CharField(source="form")
    errors = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = BankImport
        fields = ("id", "format", "file_name", "lines_known", "errors", "imported_at")


class BankFileSerializer(serializers.Serializer):
    """A file of a bank. Columns of a CSV are found by their usual headings: Date, Amount, Currency, Reference, Name, Text."""

    file = serializers.FileField()
    format = serializers.ChoiceField(choices=BankImport.Format.choices)
    account = serializers.CharField(required=False, default="", max_length=34)


class AssignBodySerializer(serializers.Serializer):
    """What a line pays: an invoice, or a customer's account."""

    invoice = serializers.CharField(required=False, max_length=40)
    organization = serializers.CharField(required=False, max_length=100)


@extend_schema(tags=["finance"])
class BankImportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Bank statements, for the marketplace's own finance."""

    queryset = BankImport.objects.none()
    serializer_class = BankImportSerializer
    parser_classes = (MultiPartParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[BankImport]:
        access.require_platform(actor_of(self.request), Role.FINANCE)
        return BankImport.objects.order_by("-pk")

    @extend_schema(request={"multipart/form-data": BankFileSerializer}, responses={201: BankImportSerializer})
    def create(self, request: Request) -> Response:
        """Read a statement in; nothing is booked. The same file again is the first one."""
        body = BankFileSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        typed = body.validated_data
        made = bank_imports.take(
            typed["file"].read(),
            form=typed["format"],
            file_name=typed["file"].name,
            account=typed["account"],
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(BankImportSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        parameters=[_ID],
        request=None,
        responses=inline_serializer("Applied", {"applied": serializers.IntegerField()}),
    )
    @action(detail=True, methods=["post"], parser_classes=[FloatFreeJSONParser])
    def apply(self, request: Request, pk: str) -> Response:
        """Book all lines whose invoice was found by number, or by name and amount."""
        made = access.get(self.get_queryset(), pk=pk)
        return Response({"applied": bank_imports.apply_all(made, by=actor_of(request), at=timezone.now())})


class BankLineFilter(django_filters.FilterSet):
    """By statement and state."""

    bank_import = django_filters.UUIDFilter(field_name="bank_import")
    state = django_filters.ChoiceFilter(choices=BankLine.State.choices)

    class Meta:
        model = BankLine
        fields: list[str] = []


@extend_schema(tags=["finance"])
class BankLineViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Lines of bank statements, for the marketplace's own finance."""

    queryset = BankLine.objects.none()
    serializer_class = BankLineSerializer
    filterset_class = BankLineFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[BankLine]:
        access.require_platform(actor_of(self.request), Role.FINANCE)
        return bank_imports.lines()

    @extend_schema(parameters=[_ID], request=AssignBodySerializer, responses=BankLineSerializer)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """Book a line by hand, on an invoice or on a customer's account."""
        line = access.get(self.get_queryset(), pk=pk)
        body = AssignBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        typed = body.validated_data
        known = customers.customers(actor_of(request)).filter(Q(slug=typed.get("organization", "")))
        bank_imports.assign(
            line,
            invoice=_invoice(request, typed["invoice"]) if typed.get("invoice") else None,
            customer=known.first(),
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(BankLineSerializer(self.get_queryset().get(pk=pk)).data)

    @extend_schema(parameters=[_ID], request=NoteBodySerializer, responses=BankLineSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        """Say that a line pays nothing, and why."""
        line = access.get(self.get_queryset(), pk=pk)
        bank_imports.dismiss(line, note=_note(request), by=actor_of(request), at=timezone.now())
        return Response(BankLineSerializer(self.get_queryset().get(pk=pk)).data)
