"""Pages of what payers owe: by age, and recording what came in."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import customers, overdue, queries, settling, write_offs
from billing.credit_asks import read_minor
from billing.house import collecting_terms
from billing.models import Invoice
from billing.payment_forms import PaymentForm
from billing.views.periods import require_finance
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput

PAGE_SIZE = 50


@login_required
@require_safe
def receivables(request: PersonRequest) -> HttpResponse:
    """List invoices that wait for money, with sums by age."""
    require_finance(request.actor)
    now = timezone.now()
    visible = queries.invoices(request.actor)
    found = list(overdue.open_invoices(visible))
    sums = overdue.aged(found, at=now)
    context = {
        "aged": list(zip(sums, overdue.sales_outstanding(visible, sums, at=now), strict=True)),
        "customers": customers.rows(found, at=now),
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_record": request.actor.is_platform(Role.FINANCE),
    }
    return render(request, "billing/receivables.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def payment(request: PersonRequest, number: str) -> HttpResponse:
    """Show the form for money that came in; a POST records it."""
    access.require_platform(request.actor, Role.FINANCE)
    invoice = access.get(queries.invoices(request.actor), number=number)
    due = settling.due_of(invoice)
    form = PaymentForm(request.POST or None, due_minor=due.minor, currency=invoice.currency)
    if form.is_valid() and _recorded(request, invoice, form):
        return redirect("billing:invoice", invoice.number)
    context: dict[str, Any] = {
        "invoice": invoice,
        "form": form,
        "due": due,
        "is_payable": settling.is_payable(invoice),
        "payments": invoice.payments.select_related("recorded_by").order_by("received_date", "pk"),
    }
    return render(request, "billing/payment.html", context)


def _recorded(request: PersonRequest, invoice: Invoice, form: PaymentForm) -> bool:
    typed = form.cleaned_data
    try:
        _record(request, invoice, typed)
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
        return False
    except Conflict as error:
        form.add_error(None, error.message)
        return False
    messages.success(request, "The payment is recorded and posted.")
    return True


def _record(request: PersonRequest, invoice: Invoice, typed: dict[str, Any]) -> None:
    money: dict[str, Any] = {
        "amount_minor": read_minor(typed["amount"], field="amount", currency=invoice.currency),
        "reference": typed["reference"],
        "received_date": typed["received_date"],
        "by": request.actor,
        "at": timezone.now(),
    }
    if typed["forgives"]:
        write_offs.pay_and_forgive(invoice, **money, terms=collecting_terms())
    else:
        settling.record_payment(invoice, **money)
