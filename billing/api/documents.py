"""/invoices/{number}.xml and /credit-notes/{id}.xml: documents by EN 16931, for accounting systems."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from billing import credit_note_queries, queries
from billing.einvoice import files
from billing.views.document_files import CONTENT_TYPE, xml_file
from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.renderers import FileRenderer


class CiiRenderer(FileRenderer):
    """Cross Industry Invoice, by ``?format=cii``; what is answered when nothing is said."""

    media_type = CONTENT_TYPE
    format = "cii"


class UblRenderer(FileRenderer):
    """Universal Business Language 2.1, by ``?format=ubl``."""

    media_type = CONTENT_TYPE
    format = "ubl"


_FORMAT = OpenApiParameter(
    "format", str, enum=files.FORMS, description="Cross Industry Invoice, or Universal Business Language 2.1."
)
_XML = {(200, CONTENT_TYPE): OpenApiTypes.BINARY}


class InvoiceXml(APIView):
    """An invoice by EN 16931; 409 not_electronic says what it lacks."""

    renderer_classes = (CiiRenderer, UblRenderer)

    @extend_schema(operation_id="invoices_xml", tags=["finance"], parameters=[_FORMAT], responses=_XML)
    def get(self, request: Request, number: str) -> HttpResponse:
        invoice = access.get(queries.invoices(actor_of(request)), number=number)
        form = files.read_form(request.query_params.get("format", ""))
        return xml_file(files.invoice_xml(invoice, form=form), number, form)


class CreditNoteXml(APIView):
    """A credit note by EN 16931; 409 not_electronic says what it lacks."""

    renderer_classes = (CiiRenderer, UblRenderer)

    @extend_schema(operation_id="credit_notes_xml", tags=["finance"], parameters=[_FORMAT], responses=_XML)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        note = access.get(credit_note_queries.credit_notes(actor_of(request)), pk=id)
        form = files.read_form(request.query_params.get("format", ""))
        return xml_file(files.credit_note_xml(note, form=form), str(note.number), form)
