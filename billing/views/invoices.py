"""Pages and files of invoices and statements."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing import credit_note_queries, exports, queries, settling
from billing.credit_notes import may_credit
from billing.documents import invoice_pdf
from billing.forms import InvoiceFilter
from billing.invoicing import is_posted
from billing.models import Invoice
from billing.payments.queries import may_pay
from billing.views.document_files import shown_of
from billing.views.periods import require_finance
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.csv import CONTENT_TYPE, to_csv

PAGE_SIZE = 50


@login_required
@require_safe
def invoices(request: PersonRequest) -> HttpResponse:
    """List invoices and statements with their total, narrowed by kind, state, month and payer."""
    require_finance(request.actor)
    form = InvoiceFilter(request.GET)
    found = form.narrow(queries.invoices(request.actor))
    page = Paginator(found.order_by("-number"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "totals": queries.totals(found), "query": request.GET.urlencode()}
    return render(request, "billing/invoices.html", context)


@login_required
@require_safe
def invoices_csv(request: PersonRequest) -> HttpResponse:
    """Give the list as a file, narrowed as the page is."""
    require_finance(request.actor)
    found = InvoiceFilter(request.GET).narrow(queries.invoices(request.actor)).order_by("number")
    return csv_file("invoices.csv", exports.INVOICE_COLUMNS, exports.invoice_rows(found))


@login_required
@require_safe
def invoice(request: PersonRequest, number: str) -> HttpResponse:
    """Show one invoice with its lines, each with its explanation."""
    shown = _visible(request, number)
    context: dict[str, Any] = {
        "invoice": shown,
        "lines": queries.lines(shown),
        "shares": queries.shares(shown),
        "is_posted": is_posted(shown),
        "is_finance": queries.is_finance(request.actor),
        "entry": shown.entries.filter(idempotency_key=f"invoice:{shown.pk}").first(),
        "payments": list(shown.payments.select_related("recorded_by").order_by("received_date", "pk")),
        "due": settling.due_of(shown),
        "may_pay": may_pay(shown, actor=request.actor),
        "may_record": request.actor.is_platform(Role.FINANCE) and settling.is_payable(shown),
        "may_write_off": request.actor.is_platform(Role.FINANCE) and settling.is_open(shown),
        "notes": (notes := list(credit_note_queries.of_invoice(shown, actor=request.actor))),
        "credited_minor": (credited_minor := credit_note_queries.credited_minor(notes)),
        "may_credit": may_credit(shown, actor=request.actor) and credited_minor < shown.total_minor,
    }
    context |= shown_of(shown, actor=request.actor)
    return render(request, "billing/invoice.html", context)


@login_required
@require_safe
def invoice_csv(request: PersonRequest, number: str) -> HttpResponse:
    """Give the lines of an invoice as a file."""
    shown = _visible(request, number)
    rows = exports.line_rows(queries.lines(shown), invoice=shown)
    return csv_file(f"{shown.number}.csv", exports.LINE_COLUMNS, rows)


@login_required
@require_safe
def invoice_document(request: PersonRequest, number: str) -> HttpResponse:
    """Give an invoice as PDF."""
    return pdf_file(_visible(request, number))


def pdf_file(invoice: Invoice) -> HttpResponse:
    """Answer with the PDF of an invoice."""
    headers = {"Content-Disposition": f'inline; filename="{invoice.number}.pdf"'}
    return HttpResponse(invoice_pdf(invoice), content_type="application/pdf", headers=headers)


def csv_file(name: str, columns: Any, rows: Any) -> HttpResponse:
    """Answer with a CSV file to be saved under a name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(to_csv(columns, rows), content_type=CONTENT_TYPE, headers=headers)


def _visible(request: PersonRequest, number: str) -> Invoice:
    visible: QuerySet[Invoice] = queries.invoices(request.actor)
    return access.get(visible, number=number)
