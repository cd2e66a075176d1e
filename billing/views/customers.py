"""Pages of one customer: documents, running account, money on account, reminders and what stopping calls would do."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import balances, customers, dunning, dunning_charges, dunning_pauses, dunning_policies, settling
from billing.credit_asks import read_minor
from billing.customer_account import COLUMNS, accounts, rows
from billing.customer_account_documents import account_pdf
from billing.customer_forms import AnswerForm, GroupForm, OnAccountForm, PauseForm, PayBackForm
from billing.house import house_terms
from billing.models import BalanceEntry, DunningNotice, DunningPause
from billing.views.invoices import csv_file
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.models import Subscription
from marketplace.core.errors import HalfpennyError, InvalidInput
from quotas import payment_stops

PAGE_SIZE = 25
MOST_SHOWN = 100


def _tabs(organization: Organization, current: str, *, is_platform: bool) -> list[dict[str, Any]]:
    shown = [("customer", "Documents"), ("customer-account", "Account")]
    if is_platform:
        shown += [
            ("customer-money", "Money"),
            ("customer-reminders", "Reminders"),
            ("customer-outlook", "What comes"),
        ]
    return [
        {
            "label": label,
            "url": reverse(f"billing:{name}", args=[organization.slug]),
            "is_current": name == current,
        }
        for name, label in shown
    ]


def _context(request: PersonRequest, organization: Organization, current: str) -> dict[str, Any]:
    is_platform = request.actor.is_platform(Role.FINANCE)
    return {
        "organization": organization,
        "tabs": _tabs(organization, current, is_platform=is_platform),
        "is_platform": is_platform,
        "stop": payment_stops.standing(organization.pk),
    }


@login_required
@require_safe
def customer(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what a customer owes and has, and all invoices of theirs."""
    organization = access.get(customers.customers(request.actor), slug=slug)
    page = Paginator(customers.documents(organization), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        **_context(request, organization, "customer"),
        "standings": customers.standings(organization, at=timezone.now()),
        "page": page,
    }
    return render(request, "billing/customer.html", context)


@login_required
@require_safe
def account(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the running account of a customer."""
    organization = access.get(customers.customers(request.actor), slug=slug)
    context = {
        **_context(request, organization, "customer-account"),
        "accounts": accounts(customers.movements(organization)),
    }
    return render(request, "billing/customer_account.html", context)


@login_required
@require_safe
def account_csv(request: PersonRequest, slug: str) -> HttpResponse:
    """Give the running account as a file."""
    organization = access.get(customers.customers(request.actor), slug=slug)
    return csv_file(f"account-{slug}.csv", COLUMNS, rows(accounts(customers.movements(organization))))


@login_required
@require_safe
def account_document(request: PersonRequest, slug: str) -> HttpResponse:
    """Give the running account as PDF, as of now."""
    organization = access.get(customers.customers(request.actor), slug=slug)
    found = accounts(customers.movements(organization))
    pdf = account_pdf(organization, found, issuer=house_terms().legal_entity, at=timezone.now())
    headers = {"Content-Disposition": f'inline; filename="account-{slug}.pdf"'}
    return HttpResponse(pdf, content_type="application/pdf", headers=headers)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def money(request: PersonRequest, slug: str) -> HttpResponse:
    """Show a customer's balance with its movements; a POST records money on account, or that some was paid back."""
    access.require_platform(request.actor, Role.FINANCE)
    organization = access.get(customers.customers(request.actor), slug=slug)
    currency = house_terms().currency
    posted = request.POST.get("do", "")
    came = OnAccountForm(request.POST if posted == "came" else None, currency=currency, prefix="came")
    went = PayBackForm(request.POST if posted == "went" else None, currency=currency, prefix="went")
    form, act = (came, _record) if posted == "came" else (went, _pay_back)
    if posted and form.is_valid() and _done(lambda: act(request, organization, form), form):
        messages.success(request, "Recorded and posted.")
        return redirect("billing:customer-money", slug)
    entries = BalanceEntry.objects.filter(organization=organization).select_related("invoice", "recorded_by")
    context = {
        **_context(request, organization, "customer-money"),
        "standings": customers.standings(organization, at=timezone.now()),
        "entries": entries.order_by("-recorded_at", "-pk")[:MOST_SHOWN],
        "came": came,
        "went": went,
    }
    return render(request, "billing/customer_money.html", context)


def _done(act: Callable[[], object], form: forms.Form) -> bool:
    """Do something, or show at the form what the domain refused."""
    try:
        act()
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
    except HalfpennyError as error:
        form.add_error(None, error.message)
    return not form.errors


def _record(request: PersonRequest, organization: Organization, form: Any) -> None:
    typed = form.cleaned_data
    settling.receive_on_account(
        organization,
        amount_minor=read_minor(typed["amount"], field="amount", currency=typed["currency"]),
        currency=typed["currency"],
        reference=typed["reference"],
        received_date=typed["received_date"],
        by=request.actor,
        at=timezone.now(),
    )


def _pay_back(request: PersonRequest, organization: Organization, form: Any) -> None:
    typed = form.cleaned_data
    balances.pay_back(
        organization,
        amount_minor=read_minor(typed["amount"], field="amount", currency=typed["currency"]),
        currency=typed["currency"],
        reference=typed["reference"],
        by=request.actor,
        at=timezone.now(),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def reminders(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what a customer was reminded of, charged, and granted; a POST grants, ends, waives or groups."""
    access.require_platform(request.actor, Role.FINANCE)
    organization = access.get(customers.customers(request.actor), slug=slug)
    numbers = customers.overdue_numbers(organization)
    pause = PauseForm(request.POST if request.POST.get("do") == "pause" else None, numbers=numbers)
    if request.method == "POST" and _changed(request, organization, pause):
        return redirect("billing:customer-reminders", slug)
    sent = DunningNotice.objects.filter(invoice__organization=organization).select_related(
        "invoice", "sent_by"
    )
    context = {
        **_context(request, organization, "customer-reminders"),
        "notices": sent.order_by("-sent_at", "-position")[:MOST_SHOWN],
        "charges": dunning_charges.open_charges(organization.pk),
        "pauses": _pauses(organization),
        "pause": pause,
        "group": GroupForm(initial={"name": _group(organization)}),
    }
    return render(request, "billing/customer_reminders.html", context)


@login_required
@require_safe
def outlook(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what a customer will be reminded of, when calls will be stopped, and whom that concerns."""
    access.require_platform(request.actor, Role.FINANCE)
    organization = access.get(customers.customers(request.actor), slug=slug)
    coming = dunning.outlooks(dunning.overdue().filter(organization=organization), at=timezone.now())
    context = {
        **_context(request, organization, "customer-outlook"),
        "coming": coming,
        "will_stop_at": min((one.stop.at for one in coming if one.stop), default=None),
        "concerned": _concerned(organization),
    }
    return render(request, "billing/customer_outlook.html", context)


def _concerned(organization: Organization) -> list[Subscription]:
    """List the subscriptions whose calls a stop refuses."""
    found = Subscription.objects.filter(team__organization=organization, state=Subscription.State.ACTIVE)
    return list(found.select_related("app", "team").order_by("app__name", "team__name")[:MOST_SHOWN])


def _pauses(organization: Organization) -> list[DunningPause]:
    found = DunningPause.objects.filter(organization=organization).select_related(
        "invoice", "made_by", "ended_by"
    )
    return list(found.order_by("-starts_at", "-pk")[:MOST_SHOWN])


def _group(organization: Organization) -> str:
    member = getattr(organization, "dunning_member", None)
    return member.group.name if member else ""


def _changed(request: PersonRequest, organization: Organization, pause: PauseForm) -> bool:
    """Do what a POST asks for; what is refused is said in a message or at the form of pauses."""
    do, now = request.POST.get("do", ""), timezone.now()
    if do == "pause":
        return pause.is_valid() and _done(lambda: _grant(request, organization, pause), pause)
    form: forms.Form = GroupForm(request.POST) if do == "group" else AnswerForm(request.POST)
    if not form.is_valid():
        return True
    typed = form.cleaned_data
    try:
        if do == "group":
            dunning_policies.join_group(organization, name=typed["name"], by=request.actor, at=now)
        elif do == "end":
            target = access.get(DunningPause.objects.filter(organization=organization), pk=typed["target"])
            dunning_pauses.end(target, answer=typed["answer"], by=request.actor, at=now)
        elif do == "waive":
            charge = access.get(dunning_charges.open_charges(organization.pk), pk=typed["target"])
            dunning_charges.waive(charge, reason=typed["answer"], by=request.actor, at=now)
    except HalfpennyError as error:
        messages.error(request, error.message)
    return True


def _grant(request: PersonRequest, organization: Organization, form: PauseForm) -> None:
    typed = form.cleaned_data
    chosen = organization.invoices.filter(number=typed["invoice"]).first() if typed["invoice"] else None
    dunning_pauses.grant(
        organization,
        invoice=chosen,
        days=typed["days"],
        note=typed["note"],
        lifts_stop=typed["lifts_stop"],
        by=request.actor,
        at=timezone.now(),
    )
