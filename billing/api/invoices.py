"""/invoices and /statements: what was issued, with lines; and files of them and of the journal."""

from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import credit_note_queries, exports, queries, settling
from billing.api.credit_notes import CreditNoteSerializer
from billing.credit_asks import read_minor
from billing.documents import invoice_pdf
from billing.invoicing import is_posted
from billing.models import Invoice, InvoiceLine, ReceivedPayment
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.csv import CONTENT_TYPE, to_csv
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor, to_text
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_month

_PERIOD = OpenApiParameter("period", str, description="Month, such as 2026-10.")


class InvoiceSerializer(serializers.ModelSerializer):
    """An invoice to an organization, or a statement of a cost center."""

    period = serializers.CharField(source="period_id")
    organization = serializers.CharField(source="organization.slug")
    cost_center = serializers.CharField(source="cost_center.code", default=None, allow_null=True)
    total = serializers.SerializerMethodField(help_text="Total in major units, a decimal string.")
    credited_minor = serializers.IntegerField(read_only=True)
    paid_minor = serializers.IntegerField(read_only=True)
    due_minor = serializers.IntegerField(read_only=True, help_text="Total less what was given back and paid.")
    is_posted = serializers.SerializerMethodField(help_text="False for showback and parallel statements.")

    class Meta:
        model = Invoice
        fields: tuple[str, ...] = (
            "number", "kind", "state", "period", "organization", "cost_center", "mode", "currency",
            "subtotal_minor", "tax_minor", "total_minor", "total", "credited_minor", "paid_minor", "due_minor",
            "is_posted", "issued_at", "due_at",
        )  # fmt: skip

    def get_total(self, invoice: Invoice) -> str:
        return f"{from_minor(invoice.total_minor, invoice.currency):f}"

    def get_is_posted(self, invoice: Invoice) -> bool:
        return is_posted(invoice)


class LineSerializer(serializers.ModelSerializer):
    """One charge; `amount` is unrounded, `amount_minor` is what counts."""

    app = serializers.CharField(source="app.slug", default=None, allow_null=True)
    plan = serializers.CharField(source="plan.code", default=None, allow_null=True)
    subscription = serializers.CharField(source="subscription_id", default=None, allow_null=True)
    quantity = serializers.SerializerMethodField()
    amount = serializers.SerializerMethodField()
    platform_cost = serializers.SerializerMethodField()
    explanation = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = InvoiceLine
        fields = (
            "position", "code", "description", "app", "plan", "subscription", "service_starts_at",
            "service_ends_at", "is_correction", "quantity", "amount", "amount_minor", "platform_cost",
            "creator_minor", "platform_minor", "explanation",
        )  # fmt: skip

    def get_quantity(self, line: InvoiceLine) -> str:
        return to_text(line.quantity)

    def get_amount(self, line: InvoiceLine) -> str:
        return to_text(line.amount)

    def get_platform_cost(self, line: InvoiceLine) -> str:
        return to_text(line.platform_cost)


class InvoiceDetailSerializer(InvoiceSerializer):
    """An invoice or statement with its payer and lines."""

    payer = serializers.DictField()
    lines = serializers.SerializerMethodField()

    class Meta(InvoiceSerializer.Meta):
        fields = (*InvoiceSerializer.Meta.fields, "payer", "lines")

    @extend_schema_field(LineSerializer(many=True))
    def get_lines(self, invoice: Invoice) -> list[dict[str, Any]]:
        return list(LineSerializer(queries.lines(invoice), many=True).data)


class ReceivedPaymentSerializer(serializers.ModelSerializer):
    """Money that came in for an invoice."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number")
    currency = serializers.CharField(source="invoice.currency")

    class Meta:
        model = ReceivedPayment
        fields = ("id", "invoice", "amount_minor", "currency", "reference", "received_date", "recorded_at")


class PaymentBodySerializer(serializers.Serializer):
    """A payment to be recorded."""

    amount = serializers.CharField(help_text="A decimal string in major units, at most what is due.")
    reference = serializers.CharField(max_length=settling.LONGEST_REFERENCE)
    received_date = serializers.DateField()


def _is_month(text: str) -> None:
    try:
        parse_month(text)
    except InvalidInput as error:
        raise ValidationError(error.errors[0].message) from error


class InvoiceFilter(django_filters.FilterSet):
    """By kind, state, month, cost center and organization."""

    period = django_filters.CharFilter(field_name="period_id", validators=[_is_month])
    cost_center = django_filters.CharFilter(field_name="cost_center__code")
    organization = django_filters.CharFilter(field_name="organization__slug")
    kind = django_filters.ChoiceFilter(choices=Invoice.Kind.choices)
    state = django_filters.ChoiceFilter(choices=Invoice.State.choices)

    class Meta:
        model = Invoice
        fields: list[str] = []


class InvoiceViewSet(viewsets.ReadOnlyModelViewSet):
    """Issued invoices and statements that the person may see; drafts are not shown."""

    queryset = Invoice.objects.none()
    serializer_class = InvoiceSerializer
    filterset_class = InvoiceFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_field = "number"
    lookup_value_regex = r"[A-Z]+-[0-9]{4}-[0-9]+"

    def get_queryset(self) -> QuerySet[Invoice]:
        found: QuerySet[Invoice] = settling.with_due(queries.invoices(actor_of(self.request)))
        return found

    @extend_schema(tags=["finance"])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List invoices and statements, newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(tags=["finance"], responses=InvoiceDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one with its lines, each with its explanation."""
        return Response(InvoiceDetailSerializer(self.get_object()).data)

    @extend_schema(tags=["finance"], responses=CreditNoteSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], url_path="credit-notes", pagination_class=None)
    def credit_notes(self, request: Request, number: str) -> Response:
        """List what was given back of it, newest first."""
        notes = credit_note_queries.of_invoice(self.get_object(), actor=actor_of(request))
        return Response(CreditNoteSerializer(notes, many=True).data)

    @extend_schema(
        tags=["finance"],
        request=PaymentBodySerializer,
        responses={201: ReceivedPaymentSerializer},
        summary="Record money that came in",
        description="In part or in full. The same reference and amount again is the first payment.",
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def payments(self, request: Request, number: str) -> Response:
        access.require_platform(actor_of(request), Role.FINANCE)
        invoice = self.get_object()
        body = PaymentBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        typed = body.validated_data
        made = settling.record_payment(
            invoice,
            amount_minor=read_minor(typed["amount"], field="amount", currency=invoice.currency),
            reference=typed["reference"],
            received_date=typed["received_date"],
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(ReceivedPaymentSerializer(made).data, status=status.HTTP_201_CREATED)


class StatementViewSet(InvoiceViewSet):
    """Statements of cost centers only."""

    def get_queryset(self) -> QuerySet[Invoice]:
        return super().get_queryset().filter(kind=Invoice.Kind.STATEMENT)


class InvoiceFile(APIView):
    """An invoice or statement as PDF; the same bytes every time."""

    @extend_schema(
        operation_id="invoices_pdf",
        tags=["finance"],
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        invoice = access.get(queries.invoices(actor_of(request)), number=number)
        headers = {"Content-Disposition": f'inline; filename="{invoice.number}.pdf"'}
        return HttpResponse(invoice_pdf(invoice), content_type="application/pdf", headers=headers)


class InvoicesFile(APIView):
    """Invoices and statements as CSV."""

    @extend_schema(
        operation_id="exports_invoices",
        tags=["finance"],
        parameters=[_PERIOD],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        found = queries.invoices(actor_of(request)).order_by("number")
        period = _period_asked(request)
        rows = exports.invoice_rows(found.filter(period=period) if period else found)
        return _csv("invoices.csv", exports.INVOICE_COLUMNS, rows)


class JournalFile(APIView):
    """The journal as CSV, a row for each posting; for the marketplace's own finance."""

    @extend_schema(
        operation_id="exports_journal",
        tags=["finance"],
        parameters=[_PERIOD],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        access.require_platform(actor_of(request), Role.FINANCE)
        rows = exports.journal_rows(queries.postings(period=_period_asked(request)))
        return _csv("journal.csv", exports.JOURNAL_COLUMNS, rows)


def _period_asked(request: Request) -> str:
    period = request.query_params.get("period", "")
    return parse_month(period).name if period else ""


def _csv(name: str, columns: Any, rows: Any) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(to_csv(columns, rows), content_type=CONTENT_TYPE, headers=headers)
