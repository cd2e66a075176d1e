"""Pages of who pays: ways to pay, paying an invoice, and what became of it."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import settling
from billing.models import Invoice, MethodSetup, PaymentAttempt, PaymentMethod
from billing.payments import attempts, customers, methods, queries
from billing.payments.forms import ANOTHER, PayForm
from billing.payments.house import has_processor, house_processor
from billing.payments.processor import ProcessorAway
from marketplace.accounts import access
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, NotFound

NOBODY = UUID(int=0)


@login_required
@require_safe
def methods_page(request: PersonRequest) -> HttpResponse:
    """Show how an organization pays, and whether it agreed to be collected from."""
    organization, others = _chosen(request)
    context: dict[str, Any] = {
        "organization": organization,
        "others": [one for one in others if one != organization],
        "methods": queries.methods(request.actor).filter(customer__organization=organization),
        "customer": getattr(organization, "payment_customer", None),
        "has_processor": has_processor(),
        "attempts": queries.attempts(request.actor).filter(invoice__organization=organization)[:10],
    }
    return render(request, "billing/payments/methods.html", context)


def _chosen(request: PersonRequest) -> tuple[Organization, list[Organization]]:
    """Return the organization that is asked for, or the first one that the person pays for; raises NotFound."""
    mine = list(queries.paying_organizations(request.actor).select_related("payment_customer"))
    asked = request.GET.get("organization") or request.POST.get("organization") or ""
    found = next((one for one in mine if asked in ("", one.slug)), None)
    if found is None:
        raise NotFound("organization", asked or "that you pay for")
    return found, mine


@login_required
@require_POST
def add_method(request: PersonRequest) -> HttpResponse:
    """Open the processor's page on which a way to pay is added."""
    organization, _ = _chosen(request)
    back = request.POST.get("back", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith("/")
    try:
        made = methods.begin_setup(
            organization,
            processor=house_processor(),
            urls=lambda setup: (
                request.build_absolute_uri(reverse("billing:payment-setup-back", args=[setup.pk])),
                request.build_absolute_uri(reverse("billing:payment-methods")),
            ),
            by=request.actor,
            at=timezone.now(),
            return_path=back if is_ours else "",
        )
    except HalfpennyError as error:
        messages.error(request, error.message)
        return redirect("billing:payment-methods")
    return redirect("billing:payment-setup", made.pk)


@login_required
@require_safe
def setup(request: PersonRequest, setup_id: UUID) -> HttpResponse:
    """Lead to the processor's page."""
    return leave(
        request, access.get(queries.setups(request.actor), pk=setup_id).page_url, "Add a card or account"
    )


def leave(request: PersonRequest, url: str, title: str) -> HttpResponse:
    """Lead to a page of the processor; by a page of ours, for forms may not lead to other hosts."""
    if not urlsplit(url).netloc:
        return redirect(url)
    response = render(request, "billing/payments/leave.html", {"url": url, "title": title})
    response["Refresh"] = f"0; url={url}"
    return response


@login_required
@require_safe
def setup_back(request: PersonRequest, setup_id: UUID) -> HttpResponse:
    """See what became of a visit to the processor's page, and go on where the person was."""
    found = access.get(queries.setups(request.actor), pk=setup_id)
    try:
        found = methods.finish_setup(found, processor=house_processor(), at=timezone.now())
    except ProcessorAway as error:
        messages.warning(request, error.message)
    if found.state == MethodSetup.State.DONE and found.method:
        messages.success(request, f"{found.method} was added.")
    else:
        messages.info(request, "Nothing was added yet.")
    return redirect(found.return_path or reverse("billing:payment-methods"))


@login_required
@require_POST
def change_method(request: PersonRequest, method_id: UUID) -> HttpResponse:
    """Make a way to pay the default, or remove it."""
    method = access.get(queries.methods(request.actor), pk=method_id)
    try:
        if "remove" in request.POST:
            methods.remove(method, processor=house_processor(), by=request.actor, at=timezone.now())
            messages.success(request, f"{method} was removed.")
        else:
            methods.make_default(method, by=request.actor, at=timezone.now())
            messages.success(request, f"{method} is the default now.")
    except HalfpennyError as error:
        messages.error(request, error.message)
    return redirect(f"{reverse('billing:payment-methods')}?organization={method.customer.organization.slug}")


@login_required
@require_POST
def automatic(request: PersonRequest) -> HttpResponse:
    """Agree to automatic collection, or end it."""
    organization, _ = _chosen(request)
    wants = request.POST.get("agree") == "yes"
    now = timezone.now()
    try:
        customers.agree(
            customers.customer_of(organization, at=now), is_automatic=wants, by=request.actor, at=now
        )
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request,
            "New invoices are paid by themselves."
            if wants
            else "New invoices wait for somebody to pay them.",
        )
    return redirect(f"{reverse('billing:payment-methods')}?organization={organization.slug}")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def pay(request: PersonRequest, number: str) -> HttpResponse:
    """Show what is due of an invoice and how it can be paid; a POST pays."""
    invoice = access.get(queries.payable_invoices(request.actor), number=number)
    mine = queries.methods(request.actor).filter(customer__organization=invoice.organization)
    form = PayForm(request.POST or None, methods=list(mine))
    if form.is_valid():
        try:
            made = _begin(request, invoice, form.method())
        except HalfpennyError as error:
            form.add_error(None, error.message)
        else:
            return redirect("billing:payment-attempt", made.pk)
    return render(request, "billing/payments/pay.html", _pay_context(request, invoice, mine, form))


def _pay_context(
    request: PersonRequest, invoice: Invoice, mine: QuerySet[PaymentMethod], form: PayForm
) -> dict[str, Any]:
    tried = list(queries.attempts(request.actor).filter(invoice=invoice)[:10])
    due = settling.due_of(invoice)
    return {
        "invoice": invoice,
        "due": due,
        "form": form,
        "attempts": tried,
        "failed": tried[0] if tried and tried[0].state == PaymentAttempt.State.FAILED else None,
        "under_way": next((one for one in tried if one.state in PaymentAttempt.ACTIVE), None),
        "is_payable": settling.is_payable(invoice) and due.minor > 0 and has_processor(),
        "another": ANOTHER,
    }


def _begin(request: PersonRequest, invoice: Invoice, method: PaymentMethod | None) -> PaymentAttempt:
    now, processor = timezone.now(), house_processor()
    back = request.build_absolute_uri(reverse("billing:payment-attempt-back", args=[NOBODY]))
    made = attempts.pay(
        invoice,
        method=method,
        return_url=back.replace(str(NOBODY), attempts.ATTEMPT),
        by=request.actor,
        at=now,
    )
    try:
        return attempts.carry_out(made, processor=processor, at=now)
    except ProcessorAway:
        # It is written down; the page says that it is tried again, and a job does so.
        return made


@login_required
@require_safe
def attempt(request: PersonRequest, attempt_id: UUID) -> HttpResponse:
    """Show one payment; one that waits for its payer leads on to the bank or the processor's page."""
    found = access.get(queries.attempts(request.actor), pk=attempt_id)
    if found.state in PaymentAttempt.ACTIVE and found.page_url and "stay" not in request.GET:
        title = (
            "Approve the payment"
            if found.state == PaymentAttempt.State.REQUIRES_ACTION
            else "Choose how to pay"
        )
        return leave(request, found.page_url, title)
    context = {
        "attempt": found,
        "invoice": found.invoice,
        "refunds": list(found.refunds.order_by("created_at")),
        "is_active": found.state in PaymentAttempt.ACTIVE,
        "may_pay": found.invoice.organization_id in request.actor.organizations_as("finance"),
    }
    return render(request, "billing/payments/attempt.html", context)


@login_required
@require_safe
def attempt_back(request: PersonRequest, attempt_id: UUID) -> HttpResponse:
    """See what became of a payment at the bank or on the processor's page."""
    found = access.get(queries.own_attempts(request.actor), pk=attempt_id)
    try:
        attempts.refresh(found, processor=house_processor(), at=timezone.now())
    except ProcessorAway as error:
        messages.warning(request, error.message)
    if found.state == PaymentAttempt.State.FAILED:
        return redirect("billing:pay", found.invoice.number)
    return redirect(f"{reverse('billing:payment-attempt', args=[found.pk])}?stay")


@login_required
@require_POST
def cancel(request: PersonRequest, attempt_id: UUID) -> HttpResponse:
    """Give up a payment that waits for its payer."""
    found = access.get(queries.own_attempts(request.actor), pk=attempt_id)
    try:
        attempts.cancel(found, processor=house_processor(), by=request.actor, at=timezone.now())
    except HalfpennyError as error:
        messages.error(request, error.message)
    return redirect("billing:pay", found.invoice.number)
