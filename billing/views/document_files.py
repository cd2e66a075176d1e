"""Files of issued documents for accounting systems."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing import credit_note_queries, document_mails, queries
from billing.einvoice import files, obstacles
from billing.models import CreditNote, Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict

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


@login_required
@require_POST
def send_invoice(request: PersonRequest, number: str) -> HttpResponse:
    """Mail an invoice again to the billing addresses of now."""
    invoice = access.get(queries.invoices(request.actor), number=number)
    _send(request, invoice)
    return redirect("billing:invoice", number)


@login_required
@require_POST
def send_credit_note(request: PersonRequest, note_id: UUID) -> HttpResponse:
    """Mail a credit note again to the billing addresses of now."""
    note = access.get(credit_note_queries.credit_notes(request.actor), pk=note_id)
    _send(request, note)
    return redirect("billing:credit-note", note_id)


def _send(request: PersonRequest, document: Invoice | CreditNote) -> None:
    try:
        count = document_mails.send_again(document, by=request.actor, at=timezone.now())
    except Conflict as error:
        messages.error(request, error.message)
        return
    where = "an address" if count == 1 else f"{count} addresses"
    messages.success(request, f"It leaves for {where} within ten seconds.")


def shown_of(document: Invoice | CreditNote, *, actor: Actor) -> dict[str, Any]:
    """Give what a page shows of a document's files and mails; for its context."""
    invoice = document if isinstance(document, Invoice) else document.invoice
    is_issued = document.number is not None
    found = obstacles.of_invoice(invoice) if is_issued and invoice.kind == Invoice.Kind.INVOICE else []
    return {
        "obstacles": found,
        "is_electronic": is_issued and invoice.kind == Invoice.Kind.INVOICE and not found,
        "mails": list(document_mails.mails_of(document)) if is_issued else [],
        "may_send": is_issued and invoice.kind == Invoice.Kind.INVOICE and actor.is_platform(Role.FINANCE),
    }


def xml_file(xml: bytes, number: str, form: str) -> HttpResponse:
    """Answer with XML to be saved under the number and form of a document."""
    headers = {"Content-Disposition": f'attachment; filename="{number}-{form}.xml"'}
    return HttpResponse(xml, content_type=CONTENT_TYPE, headers=headers)
