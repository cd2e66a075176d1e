"""/credit-notes, and those of an invoice: giving back what was billed, deciding on it, the PDF."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import credit_note_queries, credit_notes, queries
from billing.credit_asks import Ask, read_minor
from billing.house import house_terms
from billing.models import CreditNote, CreditNoteLine, Invoice
from billing.views.credit_notes import pdf_file
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor
from marketplace.core.parsers import FloatFreeJSONParser

LONGEST_KEY = 100
NOTE_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the credit note.")
_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, "header", description="A repetition gets the first result."
)
REQUEST = {
    "type": "object",
    "required": ["invoice", "reason"],
    "properties": {
        "invoice": {"type": "string", "example": "INV-2026-000001"},
        "reason": {"type": "string", "maxLength": credit_notes.LONGEST_REASON},
        "amount": {**EXACT_AMOUNT, "description": "Tax included. Without it and lines: all that is left."},
        "lines": {
            "type": "array",
            "description": "In place of amount.",
            "items": {
                "type": "object",
                "required": ["position"],
                "properties": {
                    "position": {"type": "integer", "minimum": 1},
                    "amount": {
                        **EXACT_AMOUNT,
                        "nullable": True,
                        "description": "Tax included; left out: all of the line.",
                    },
                },
            },
        },
    },
}


class CreditNoteLineSerializer(serializers.ModelSerializer):
    """What is given back of one line of the invoice."""

    position = serializers.IntegerField(source="line.position")
    description = serializers.CharField(source="line.description")
    app = serializers.CharField(source="line.app.slug", default=None, allow_null=True)

    class Meta:
        model = CreditNoteLine
        fields = (
            "position", "description", "app", "net_minor", "tax_minor", "creator_minor", "platform_minor",
        )  # fmt: skip


class CreditNoteSerializer(serializers.ModelSerializer):
    """What is given back of an invoice; amounts are positive. A proposal has no number yet."""

    id = serializers.CharField()
    invoice = serializers.CharField(source="invoice.number")
    currency = serializers.CharField(source="invoice.currency")
    total = serializers.SerializerMethodField(help_text="Total in major units, a decimal string.")

    class Meta:
        model = CreditNote
        fields: tuple[str, ...] = (
            "id", "number", "state", "invoice", "currency", "net_minor", "tax_minor", "total_minor", "total",
            "reason", "needs_second_person", "proposed_at", "decided_at", "decision_note", "issued_at",
        )  # fmt: skip

    def get_total(self, note: CreditNote) -> str:
        return f"{from_minor(note.total_minor, note.invoice.currency):f}"


class CreditNoteDetailSerializer(CreditNoteSerializer):
    """A credit note with its lines."""

    lines = serializers.SerializerMethodField()

    class Meta(CreditNoteSerializer.Meta):
        fields = (*CreditNoteSerializer.Meta.fields, "lines")

    @extend_schema_field(CreditNoteLineSerializer(many=True))
    def get_lines(self, note: CreditNote) -> list[dict[str, Any]]:
        return list(CreditNoteLineSerializer(credit_note_queries.lines(note), many=True).data)


class CreditDecisionSerializer(serializers.Serializer):
    """The note of a decision on a credit note."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class CreditNoteFilter(django_filters.FilterSet):
    """By invoice, number and state."""

    invoice = django_filters.CharFilter(field_name="invoice__number")
    number = django_filters.CharFilter(field_name="number")
    state = django_filters.ChoiceFilter(choices=CreditNote.State.choices)

    class Meta:
        model = CreditNote
        fields: list[str] = []


@extend_schema(tags=["finance"])
class CreditNoteViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Credit notes that the person may see; the marketplace's finance also sees proposals."""

    queryset = CreditNote.objects.none()
    serializer_class = CreditNoteSerializer
    filterset_class = CreditNoteFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = NOTE_ID

    def get_queryset(self) -> QuerySet[CreditNote]:
        return credit_note_queries.credit_notes(actor_of(self.request))

    def get_object(self) -> CreditNote:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(responses=CreditNoteDetailSerializer, parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one with its lines."""
        return _detail(self.get_object())

    @extend_schema(
        summary="Give something back of an invoice",
        description=(
            "All that is left of it, an amount, or amounts of lines, tax included. What one person of finance may give "
            "back alone is issued at once; more waits, as a proposal, for a second person."
        ),
        parameters=[_KEY],
        request={"application/json": REQUEST},
        responses={201: CreditNoteDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        actor = actor_of(request)
        access.require_platform(actor, Role.FINANCE)
        body = _body(request)
        invoice, ask = _asked(body, queries.invoices(actor))
        made = credit_notes.propose(
            invoice,
            ask=ask,
            reason=str(body.get("reason") or ""),
            by=actor,
            at=timezone.now(),
            terms=house_terms(),
            idempotency_key=_key(request),
        )
        return Response(CreditNoteDetailSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=CreditDecisionSerializer, responses=CreditNoteDetailSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve a proposal of somebody else: it is numbered, issued and posted."""
        note = self.get_object()
        credit_notes.approve(note, by=actor_of(request), at=timezone.now(), decision_note=_said(request))
        return _detail(note)

    @extend_schema(request=CreditDecisionSerializer, responses=CreditNoteDetailSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject a proposal of somebody else, with a note that says why."""
        note = self.get_object()
        credit_notes.reject(note, by=actor_of(request), at=timezone.now(), decision_note=_said(request))
        return _detail(note)

    @extend_schema(request=None, responses=CreditNoteDetailSerializer, parameters=[_ID])
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own proposal back."""
        note = self.get_object()
        credit_notes.withdraw(note, by=actor_of(request), at=timezone.now())
        return _detail(note)


class CreditNoteFile(APIView):
    """An issued credit note as PDF; the same bytes every time."""

    @extend_schema(
        operation_id="credit_notes_pdf",
        tags=["finance"],
        parameters=[_ID],
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return pdf_file(access.get(credit_note_queries.credit_notes(actor_of(request)), pk=id))


def _detail(note: CreditNote) -> Response:
    return Response(CreditNoteDetailSerializer(note).data)


def _body(request: Request) -> dict[str, Any]:
    body = request.data
    if not isinstance(body, dict):
        raise InvalidInput("", "must be an object")
    for name in body:
        if name not in REQUEST["properties"]:
            raise InvalidInput(name, "is not a field", code="unknown_field")
    return body


def _asked(body: dict[str, Any], visible: QuerySet[Invoice]) -> tuple[Invoice, Ask]:
    number = body.get("invoice")
    invoice = visible.filter(number=number).first() if isinstance(number, str) else None
    if invoice is None:
        raise InvalidInput("invoice", "is not the number of an invoice or statement", code="unknown_invoice")
    return invoice, _ask(body, currency=invoice.currency)


def _ask(body: dict[str, Any], *, currency: str) -> Ask:
    if body.get("amount") is not None and body.get("lines") is not None:
        raise InvalidInput("lines", "is in place of amount: give one of them")
    if body.get("amount") is not None:
        return Ask(amount_minor=read_minor(body["amount"], field="amount", currency=currency))
    lines = body.get("lines")
    if lines is None:
        return Ask()
    if not isinstance(lines, list) or not lines:
        raise InvalidInput("lines", "must be a list with at least one line")
    return Ask(lines=dict(_line(one, place, currency) for place, one in enumerate(lines)))


def _line(one: Any, place: int, currency: str) -> tuple[int, int | None]:
    position = one.get("position") if isinstance(one, dict) else None
    if not isinstance(position, int) or isinstance(position, bool):
        raise InvalidInput(f"lines[{place}].position", "must be the position of a line, such as 1")
    amount = one.get("amount")
    field = f"lines[{place}].amount"
    return position, None if amount is None else read_minor(amount, field=field, currency=currency)


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY:
        raise InvalidInput(
            "Idempotency-Key", f"must have at most {LONGEST_KEY} characters", limit=LONGEST_KEY
        )
    return key


def _said(request: Request) -> str:
    body = CreditDecisionSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    said: str = body.validated_data["note"]
    return said
