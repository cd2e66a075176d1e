"""The payer's own pages: what is due, how to pay it, what was received, and a word to finance."""

from datetime import UTC, datetime, time
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import bill_queries, credit_note_queries, dunning, dunning_pauses, overdue, queries
from billing.customer_forms import SayForm
from billing.dues import as_read, is_open, with_due
from billing.house import house_terms
from billing.models import Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput

PAGE_SIZE = 50


@login_required
@require_safe
def bills(request: PersonRequest) -> HttpResponse:
    """Show what is due, and the invoices and statements that concern a person."""
    found = queries.invoices(request.actor)
    page = Paginator(found.order_by("-period_id", "-number"), PAGE_SIZE).get_page(request.GET.get("page"))
    served = request.actor.organizations_as(Role.FINANCE)
    # The platform's own finance sees every invoice, and pays none of them.
    due = list(overdue.open_invoices(found.filter(organization__in=served))[:PAGE_SIZE])
    context = {
        "page": page,
        "totals": queries.totals(found),
        "due": due,
        "aged": overdue.aged(due, at=timezone.now()),
        "pays": bill_queries.paying_organizations(served),
    }
    return render(request, "billing/bills.html", context)


@login_required
@require_safe
def coming(request: PersonRequest) -> HttpResponse:
    """Show what the running month would bill so far, for the organizations whose finance a person is."""
    served = request.actor.organizations_as(Role.FINANCE)
    found = bill_queries.so_far(served, at=timezone.now(), terms=house_terms())
    return render(
        request,
        "billing/_bill_so_far.html" if request.htmx else "billing/bill_so_far.html",
        {"so_far": found},
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def bill(request: PersonRequest, number: str) -> HttpResponse:
    """Show an invoice to who pays it: what is due, how to pay, what was paid, reminded and said; a POST says something."""
    shown = access.get(
        with_due(queries.invoices(request.actor).filter(kind=Invoice.Kind.INVOICE)), number=number
    )
    may_say = dunning_pauses.may_say(shown, actor=request.actor) and is_open(shown)
    form = SayForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _said(request, shown, form):
        messages.success(request, "Finance was told; reminders rest meanwhile.")
        return redirect("billing:bill", number)
    context: dict[str, Any] = {
        "invoice": shown,
        "due": as_read(shown),
        "payments": bill_queries.payments(shown),
        "notes": list(credit_note_queries.of_invoice(shown, actor=request.actor)),
        "notices": list(dunning.notices_of(shown)),
        "pauses": list(dunning_pauses.of_invoice(shown)),
        "bank": bill_queries.bank_details(shown),
        "is_payable": is_open(shown),
        "may_say": may_say,
        "form": form,
        "told": bill_queries.who_is_told(shown),
    }
    return render(request, "billing/bill.html", context)


def _said(request: PersonRequest, invoice: Invoice, form: SayForm) -> bool:
    typed = form.cleaned_data
    until = datetime.combine(typed["until"], time(23, 59), UTC) if typed["until"] else None
    try:
        dunning_pauses.say(
            invoice, kind=typed["kind"], note=typed["note"], until=until, by=request.actor, at=timezone.now()
        )
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
    except HalfpennyError as error:
        form.add_error(None, error.message)
    return not form.errors
