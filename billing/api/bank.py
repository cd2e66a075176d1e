"""Bank statements: reading them in, and what becomes of their lines."""

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from billing import bank_imports, customers
from billing.api.collecting_parts import ID, UUID_PATTERN, NoteBodySerializer, invoice_of, note_of
from billing.bank_models import BankLine
from billing.models import (
    BankImport,
)
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.parsers import FloatFreeJSONParser


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
    """A bank statement that was read in; `unreadable` names lines that could not be."""

    id = serializers.CharField()
    format = serializers.CharField(source="form")
    unreadable = serializers.ListField(source="errors", child=serializers.DictField())

    class Meta:
        model = BankImport
        fields = ("id", "format", "file_name", "lines_known", "unreadable", "imported_at")


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
        parameters=[ID],
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

    @extend_schema(parameters=[ID], request=AssignBodySerializer, responses=BankLineSerializer)
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
            invoice=invoice_of(request, typed["invoice"]) if typed.get("invoice") else None,
            customer=known.first(),
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(BankLineSerializer(self.get_queryset().get(pk=pk)).data)

    @extend_schema(parameters=[ID], request=NoteBodySerializer, responses=BankLineSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        """Say that a line pays nothing, and why."""
        line = access.get(self.get_queryset(), pk=pk)
        bank_imports.dismiss(line, note=note_of(request), by=actor_of(request), at=timezone.now())
        return Response(BankLineSerializer(self.get_queryset().get(pk=pk)).data)
