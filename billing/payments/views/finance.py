"""Pages of the marketplace's finance: payments, what the processor told, disputes, and its account beside our books."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.credit_asks import read_minor
from billing.models import CreditNote, PaymentAttempt, PaymentDispute, ProcessorEvent
from billing.payments import attempts, balance, disputes, queries, refunds, webhooks
from billing.payments.forms import EvidenceForm
from billing.payments.house import has_processor, house_processor
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError

PAGE_SIZE = 50


@login_required
@require_safe
def payments(request: PersonRequest) -> HttpResponse:
    """List payments with their fees, and sums."""
    access.require_platform(request.actor, Role.FINANCE)
    state = request.GET.get("state", "")
    found = queries.attempts(request.actor)
    if state in PaymentAttempt.State.values:
        found = found.filter(state=state)
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "collected": queries.collected(found),
        "state": state,
        "states": PaymentAttempt.State.values,
        "tab": "payments",
        "is_fake": has_processor() and house_processor().is_fake,
    }
    return render(request, "billing/payments/payments.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def payment(request: PersonRequest, attempt_id: UUID) -> HttpResponse:
    """Show a payment with what went back of it; a POST asks the processor, or refunds a credit note."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(queries.attempts(request.actor), pk=attempt_id)
    if request.method == "POST":
        _act(request, found)
        return redirect("billing:finance-payment", found.pk)
    notes = found.invoice.credit_notes.filter(state=CreditNote.State.ISSUED).order_by("issued_at")
    context: dict[str, Any] = {
        "attempt": found,
        "invoice": found.invoice,
        "refunds": list(found.refunds.select_related("credit_note").order_by("created_at")),
        "disputes": list(found.disputes.order_by("opened_at")),
        "notes": [(note, refunds.open_credit_minor(note)) for note in notes],
        "refundable_minor": refunds.refundable_minor(found),
        "lines": queries.transactions().filter(source_id=found.charge_id) if found.charge_id else [],
    }
    return render(request, "billing/payments/payment.html", context)


def _act(request: PersonRequest, found: PaymentAttempt) -> None:
    now = timezone.now()
    try:
        if "amount" in request.POST:
            typed = read_minor(Decimal(request.POST["amount"]), field="amount", currency=found.currency)
            refunds.refund(found, amount_minor=typed, by=request.actor, at=now)
            messages.success(request, "The refund is on the way.")
        elif "note" in request.POST:
            note = access.get(found.invoice.credit_notes.all(), pk=request.POST["note"])
            made = refunds.refund_credit(note, by=request.actor, at=now)
            messages.success(request, f"{len(made)} refund{'s' if len(made) > 1 else ''} on the way.")
        else:
            attempts.carry_out(found, processor=house_processor(), at=now)
            messages.success(request, "Read anew from the payment processor.")
    except InvalidOperation:
        messages.error(request, "The amount must be a number.")
    except HalfpennyError as error:
        messages.error(request, error.message)


@login_required
@require_safe
def events(request: PersonRequest) -> HttpResponse:
    """List what the processor told us."""
    access.require_platform(request.actor, Role.FINANCE)
    state, kind = request.GET.get("state", ""), request.GET.get("type", "")[:80]
    context = {
        "page": Paginator(queries.events(state=state, kind=kind), PAGE_SIZE).get_page(
            request.GET.get("page")
        ),
        "state": state,
        "kind": kind,
        "states": ProcessorEvent.State.values,
        "tab": "events",
    }
    return render(request, "billing/payments/events.html", context)


@login_required
@require_safe
def event(request: PersonRequest, event_id: str) -> HttpResponse:
    """Show one event as it came."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(ProcessorEvent.objects.all(), pk=event_id)
    payload = json.dumps(found.payload, indent=2, sort_keys=True)
    return render(request, "billing/payments/event.html", {"event": found, "payload": payload})


@login_required
@require_POST
def event_replay(request: PersonRequest, event_id: str) -> HttpResponse:
    """Read an event once more."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(ProcessorEvent.objects.all(), pk=event_id)
    webhooks.replay(found, by=request.actor, at=timezone.now())
    messages.success(request, "It is read once more in a moment.")
    return redirect("billing:payment-event", found.pk)


@login_required
@require_safe
def disputed(request: PersonRequest) -> HttpResponse:
    """List disputes."""
    access.require_platform(request.actor, Role.FINANCE)
    page = Paginator(queries.disputes(), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "billing/payments/disputes.html", {"page": page, "tab": "disputes"})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def dispute(request: PersonRequest, dispute_id: UUID) -> HttpResponse:
    """Show a dispute with its deadline; a POST sends evidence, or lets the money go."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(queries.disputes(), pk=dispute_id)
    form = EvidenceForm(request.POST if "answer" in request.POST else None)
    if request.method == "POST" and ("accept" in request.POST or form.is_valid()):
        try:
            if "accept" in request.POST:
                disputes.accept(found, processor=house_processor(), by=request.actor, at=timezone.now())
            else:
                disputes.answer(
                    found,
                    evidence=form.cleaned_data["evidence"],
                    processor=house_processor(),
                    by=request.actor,
                    at=timezone.now(),
                )
            return redirect("billing:payment-dispute", found.pk)
        except HalfpennyError as error:
            form.add_error(None, error.message) if form.is_bound else messages.error(request, error.message)
    context = {
        "dispute": found,
        "form": form,
        "takes_evidence": found.state in PaymentDispute.TAKES_EVIDENCE,
        "entries": queries.entries_of(found),
    }
    return render(request, "billing/payments/dispute.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def reconciliation(request: PersonRequest) -> HttpResponse:
    """Show the processor's account of our money beside our books; a POST fetches what is new."""
    access.require_platform(request.actor, Role.FINANCE)
    if request.method == "POST":
        try:
            new = balance.sync(processor=house_processor(), at=timezone.now())
            messages.success(request, f"Fetched: {new} new line{'' if new == 1 else 's'}.")
        except HalfpennyError as error:
            messages.error(request, error.message)
        return redirect("billing:payment-reconciliation")
    only_differing = request.GET.get("show") == "differing"
    found = queries.transactions(only_differing=only_differing)
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "balances": queries.balances(),
        "differing": queries.transactions(only_differing=True).count(),
        "entries": list(queries.unmatched_entries()[:PAGE_SIZE]),
        "only_differing": only_differing,
        "tab": "reconciliation",
    }
    return render(request, "billing/payments/reconciliation.html", context)
