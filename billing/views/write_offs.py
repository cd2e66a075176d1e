"""Pages of write-offs: proposing one with what it comes to, deciding, the list."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import queries, write_offs
from billing.credit_note_forms import CreditDecisionForm
from billing.house import collecting_terms
from billing.models import Invoice, WriteOff
from billing.write_off_forms import WriteOffForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List write-offs, the newest first."""
    access.require_platform(request.actor, Role.FINANCE)
    found = write_offs.all_of_them().order_by("-proposed_at", "-pk")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "billing/write_offs.html", {"page": page})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: PersonRequest, number: str) -> HttpResponse:
    """Show what giving up an invoice comes to; a POST proposes it."""
    access.require_platform(request.actor, Role.FINANCE)
    invoice = access.get(queries.invoices(request.actor), number=number)
    form = WriteOffForm(request.POST or None)
    if form.is_valid():
        try:
            return _proposed(request, invoice, form)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.message)
    context: dict[str, Any] = {"invoice": invoice, "form": form, "terms": collecting_terms()}
    try:
        context["loss"] = write_offs.loss_of(invoice, takes_tax_back=True, terms=collecting_terms())
    except Conflict as error:
        context["refused"] = error.message
    return render(request, "billing/write_off_propose.html", context)


def _proposed(request: PersonRequest, invoice: Invoice, form: WriteOffForm) -> HttpResponse:
    made = write_offs.propose(
        invoice,
        reason=form.cleaned_data["reason"],
        takes_tax_back=form.cleaned_data["takes_tax_back"],
        by=request.actor,
        at=timezone.now(),
        terms=collecting_terms(),
    )
    waits = made.state == WriteOff.State.PROPOSED
    messages.success(request, "It waits for a second person." if waits else f"{invoice} is written off.")
    return redirect("billing:write-off", made.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def write_off(request: PersonRequest, write_off_id: UUID) -> HttpResponse:
    """Show a write-off; a POST approves, rejects or withdraws it."""
    access.require_platform(request.actor, Role.FINANCE)
    made = access.get(write_offs.all_of_them(), pk=write_off_id)
    form = CreditDecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, made, form):
        return redirect("billing:write-off", made.pk)
    context = {
        "made": made,
        "form": form,
        "is_waiting": made.state == WriteOff.State.PROPOSED,
        "is_own": made.proposed_by_id == request.actor.user.pk,
        "may_decide": write_offs.may_decide(made, actor=request.actor),
    }
    return render(request, "billing/write_off.html", context)


def _decided(request: PersonRequest, made: WriteOff, form: CreditDecisionForm) -> bool:
    try:
        write_offs.decide(
            made,
            form.cleaned_data["decision"],
            note=form.cleaned_data["note"],
            by=request.actor,
            at=timezone.now(),
            terms=collecting_terms(),
        )
    except HalfpennyError as error:
        form.add_error(None, error.message)
        return False
    return True
