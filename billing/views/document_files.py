"""Files of issued documents for accounting systems."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from billing import credit_note_queries, queries
from billing.einvoice import files
from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest

CONTENT_TYPE = "application/xml"


@login_required
@require_safe
def invoice_xml(request: PersonRequest, number: str) -> HttpResponse:
    """Give an invoice by EN 16931, as CII or, with ``?form=ubl``, as UBL."""
    invoice = access.get(queries.invoices(request.actor), number=number)
    form = files.read_form(request.GET.get("form", ""))
    return xml_file(files.invoice_xml(invoice, form=form), number, form)


@login_required
@require_safe
def credit_note_xml(request: PersonRequest, note_id: UUID) -> HttpResponse:
    """Give a credit note by EN 16931, as CII or, with ``?form=ubl``, as UBL."""
    note = access.get(credit_note_queries.credit_notes(request.actor), pk=note_id)
    form = files.read_form(request.GET.get("form", ""))
    return xml_file(files.credit_note_xml(note, form=form), str(note.number), form)


def xml_file(xml: bytes, number: str, form: str) -> HttpResponse:
    """Answer with XML to be saved under the number and form of a document."""
    headers = {"Content-Disposition": f'attachment; filename="{number}-{form}.xml"'}
    return HttpResponse(xml, content_type=CONTENT_TYPE, headers=headers)
