"""Pages of credit notes: the list, one of them with its decision, giving something back of an invoice."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import credit_note_queries, credit_notes, queries
from billing.credit_note_documents import credit_note_pdf
from billing.credit_note_forms import CreditDecisionForm, CreditForm
from billing.crediting import Creditable
from billing.house import house_terms
from billing.models import CreditNote, Invoice
from billing.views.document_files import shown_of
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List credit notes that a person may see, those that wait for a decision first."""
    found = credit_note_queries.credit_notes(request.actor)
    state = request.GET.get("state", "")
    if state in CreditNote.State.values:
        found = found.filter(state=state)
    page = Paginator(found.order_by("-proposed_at", "-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "state": state,
        "states": CreditNote.State.values,
        "is_platform": request.actor.is_platform(Role.FINANCE),
        "is_finance": queries.is_finance(request.actor),
    }
    return render(request, "billing/credit_notes.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def credit(request: PersonRequest, number: str) -> HttpResponse:
    """Show the form that gives something back of an invoice; a POST proposes it, or previews what it comes to."""
    access.require_platform(request.actor, Role.FINANCE)
    invoice = access.get(queries.invoices(request.actor), number=number)
    lines = credit_note_queries.creditable(invoice)
    form = CreditForm(request.POST or None, lines=lines, currency=invoice.currency)
    found = None
    if form.is_valid():
        try:
            if "preview" in request.POST:
                found = credit_notes.preview(invoice, ask=form.ask(), terms=house_terms())
            else:
                return _proposed(request, invoice, form)
        except InvalidInput as error:
            form.refuse(error)
        except Conflict as error:
            form.add_error(None, error.message)
    context = {
        "invoice": invoice,
        "form": form,
        "preview": found,
        "rows": _rows(invoice, form, lines, found),
        "left_minor": sum(line.left.gross_minor for line in lines),
        "alone_up_to": house_terms().credit_alone_up_to,
        "house_currency": house_terms().currency,
    }
    return render(request, "billing/credit.html", context)


def _proposed(request: PersonRequest, invoice: Invoice, form: CreditForm) -> HttpResponse:
    note = credit_notes.propose(
        invoice,
        ask=form.ask(),
        reason=form.cleaned_data["reason"],
        by=request.actor,
        at=timezone.now(),
        terms=house_terms(),
        idempotency_key=form.cleaned_data["key"],
    )
    waits = note.state == CreditNote.State.PROPOSED
    text = "It waits for a second person." if waits else f"{note.number} is issued and posted."
    messages.success(request, text)
    return redirect("billing:credit-note", note.pk)


def _rows(
    invoice: Invoice, form: CreditForm, lines: list[Creditable], found: credit_notes.Preview | None
) -> list[dict[str, Any]]:
    by_position = {line.position: line for line in lines}
    return [
        {
            "line": line,
            "left_minor": by_position[line.position].left.gross_minor,
            "field": form.line_field(line.position),
            "part": found.parts.get(line.position) if found else None,
        }
        for line in queries.lines(invoice)
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def credit_note(request: PersonRequest, note_id: UUID) -> HttpResponse:
    """Show a credit note with what it takes of each line; a POST approves, rejects or withdraws it."""
    note = access.get(credit_note_queries.credit_notes(request.actor), pk=note_id)
    form = CreditDecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, note, form):
        return redirect("billing:credit-note", note.pk)
    is_waiting = note.state == CreditNote.State.PROPOSED
    context = {
        "note": note,
        "form": form,
        "lines": credit_note_queries.lines(note),
        "entry": note.entries.first(),
        "is_waiting": is_waiting,
        "is_own": note.proposed_by_id == request.actor.user.pk,
        "may_decide": credit_notes.may_decide(note, actor=request.actor),
        "is_platform": request.actor.is_platform(Role.FINANCE),
        "is_finance": queries.is_finance(request.actor),
    }
    context |= shown_of(note, actor=request.actor)
    return render(request, "billing/credit_note.html", context)


def _decided(request: PersonRequest, note: CreditNote, form: CreditDecisionForm) -> bool:
    decision, said = form.cleaned_data["decision"], form.cleaned_data["note"]
    now = timezone.now()
    try:
        if decision == "approve":
            credit_notes.approve(note, by=request.actor, at=now, decision_note=said)
        elif decision == "reject":
            credit_notes.reject(note, by=request.actor, at=now, decision_note=said)
        else:
            credit_notes.withdraw(note, by=request.actor, at=now)
    except HalfpennyError as error:
        form.add_error(None, error.message)
        return False
    return True


@login_required
@require_safe
def credit_note_document(request: PersonRequest, note_id: UUID) -> HttpResponse:
    """Give an issued credit note as PDF."""
    return pdf_file(access.get(credit_note_queries.credit_notes(request.actor), pk=note_id))


def pdf_file(note: CreditNote) -> HttpResponse:
    """Answer with the PDF of a credit note."""
    headers = {"Content-Disposition": f'inline; filename="{note.number}.pdf"'}
    return HttpResponse(credit_note_pdf(note), content_type="application/pdf", headers=headers)
