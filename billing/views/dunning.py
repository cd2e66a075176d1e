"""Pages of reminders: what goes out next, whose calls will be stopped, and the policies."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing import dunning, dunning_policies, queries
from billing.dunning_forms import PolicyForm
from billing.house import house_terms
from billing.models import Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput
from quotas.payment_stop_models import PaymentStop

MOST_SHOWN = 200


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def coming(request: PersonRequest) -> HttpResponse:
    """List overdue invoices with their next reminder as it will read; a POST sends the chosen ones now."""
    access.require_platform(request.actor, Role.FINANCE)
    if request.method == "POST":
        return _send(request)
    found = dunning.outlooks(dunning.overdue()[:MOST_SHOWN], at=timezone.now())
    context = {
        "coming": found,
        "overdue_count": Invoice.objects.filter(state=Invoice.State.OVERDUE).count(),
        "stops": PaymentStop.objects.filter(ended_at=None)
        .select_related("organization")
        .order_by("started_at"),
    }
    return render(request, "billing/dunning.html", context)


def _send(request: PersonRequest) -> HttpResponse:
    sent = 0
    for number in request.POST.getlist("number")[:MOST_SHOWN]:
        try:
            invoice = access.get(queries.invoices(request.actor), number=number)
            dunning.remind(invoice, by=request.actor, at=timezone.now())
            sent += 1
        except HalfpennyError as error:
            messages.error(request, error.message)
    if sent:
        messages.success(request, f"{sent} sent.")
    return redirect("billing:dunning")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def policies(request: PersonRequest) -> HttpResponse:
    """Show the policies by date; a POST begins a new one."""
    access.require_platform(request.actor, Role.FINANCE)
    form = PolicyForm(request.POST or None, currency=house_terms().currency, at=timezone.now())
    if form.is_valid() and _introduced(request, form):
        messages.success(request, "The policy begins on its day.")
        return redirect("billing:dunning-policies")
    context: dict[str, Any] = {"policies": dunning_policies.policies(), "form": form}
    return render(request, "billing/dunning_policies.html", context)


def _introduced(request: PersonRequest, form: PolicyForm) -> bool:
    try:
        dunning_policies.introduce(**form.terms(), by=request.actor, at=timezone.now())
    except InvalidInput as error:
        form.refuse(error)
    except HalfpennyError as error:
        form.add_error(None, error.message)
    return not form.errors
