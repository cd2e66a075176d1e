"""Pages of bank statements: reading one in, and what becomes of its lines."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing import bank_imports, customers, queries
from billing.bank_forms import LineForm, StatementForm
from billing.bank_models import BankLine
from billing.house import house_terms
from billing.models import BankImport
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput, NotFound

PAGE_SIZE = 50


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def statements(request: PersonRequest) -> HttpResponse:
    """List bank statements; a POST reads one in."""
    access.require_platform(request.actor, Role.FINANCE)
    form = StatementForm(request.POST or None, request.FILES or None, currency=house_terms().currency)
    if form.is_valid() and (made := _taken(request, form)):
        return redirect("billing:bank-statement", made.pk)
    page = Paginator(bank_imports.imports(), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "billing/bank_statements.html", {"form": form, "page": page})


def _taken(request: PersonRequest, form: StatementForm) -> BankImport | None:
    file = form.cleaned_data["file"]
    try:
        return bank_imports.take(
            file.read(),
            form=form.cleaned_data["form"],
            file_name=file.name,
            columns=form.columns(),
            writing=form.writing(),
            account=form.cleaned_data["account"],
            by=request.actor,
            at=timezone.now(),
        )
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
        return None


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def statement(request: PersonRequest, import_id: UUID) -> HttpResponse:
    """Show the lines of a statement with what each seems to pay; a POST applies, assigns or dismisses."""
    access.require_platform(request.actor, Role.FINANCE)
    made = access.get(bank_imports.imports(), pk=import_id)
    if request.method == "POST":
        _act(request, made)
        return redirect(f"{request.path}?{request.GET.urlencode()}")
    shown = request.GET.get("show", "open")
    found = bank_imports.lines().filter(bank_import=made)
    found = found.filter(state=shown) if shown in BankLine.State.values else found
    context: dict[str, Any] = {
        "made": made,
        "shown": shown,
        "states": [*BankLine.State.values, "all"],
        "page": Paginator(found.order_by("position", "pk"), PAGE_SIZE).get_page(request.GET.get("page")),
    }
    return render(request, "billing/bank_statement.html", context)


def _act(request: PersonRequest, made: BankImport) -> None:
    do, now = request.POST.get("do", ""), timezone.now()
    try:
        if do == "all":
            booked = bank_imports.apply_all(made, by=request.actor, at=now)
            messages.success(request, f"{booked} applied.")
            return
        form = LineForm(request.POST)
        if form.is_valid():
            line = access.get(bank_imports.lines().filter(bank_import=made), pk=form.cleaned_data["line"])
            _act_on(request, line, do, form.cleaned_data["target"].strip())
            messages.success(request, "Done.")
    except HalfpennyError as error:
        messages.error(request, error.message)


def _act_on(request: PersonRequest, line: BankLine, do: str, target: str) -> None:
    now = timezone.now()
    if do == "apply":
        bank_imports.apply(line, by=request.actor, at=now)
    elif do == "dismiss":
        bank_imports.dismiss(line, note=target, by=request.actor, at=now)
    else:
        bank_imports.assign(line, **_target(request, target), by=request.actor, at=now)


def _target(request: PersonRequest, text: str) -> dict[str, Any]:
    """Find what a person typed: the number of an invoice, or a customer by name or slug."""
    invoice = queries.invoices(request.actor).filter(number__iexact=text).first()
    if invoice:
        return {"invoice": invoice}
    known = customers.customers(request.actor)
    customer = known.filter(slug__iexact=text).first() or known.filter(name__iexact=text).first()
    if customer is None:
        raise NotFound("invoice or customer", text)
    return {"customer": customer}
