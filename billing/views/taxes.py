"""Pages of the table of tax rates: what holds, what is proposed, which apps are taxed otherwise."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing import tax_rates
from billing.models import AppTaxCategory, TaxRate
from billing.party_forms import AppCategoryForm, RateDecisionForm, TaxRateForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def taxes(request: PersonRequest) -> HttpResponse:
    """Show the table of rates; a POST proposes one, or sets the category of an app."""
    access.require_platform(request.actor, Role.FINANCE)
    of_app = "app" in request.POST
    form = TaxRateForm(request.POST if request.POST and not of_app else None)
    app_form = AppCategoryForm(request.POST if of_app else None)
    if form.is_valid() and _proposed(request, form):
        return redirect("billing:taxes")
    if app_form.is_valid() and _categorized(request, app_form):
        return redirect("billing:taxes")
    context = {
        "rates": tax_rates.rates().exclude(state__in=["rejected", "withdrawn"]),
        "categories": AppTaxCategory.objects.select_related("app", "set_by").order_by("app__name"),
        "form": form,
        "app_form": app_form,
        "now": timezone.now(),
    }
    return render(request, "billing/taxes.html", context)


def _proposed(request: PersonRequest, form: TaxRateForm) -> bool:
    try:
        tax_rates.propose(**form.cleaned_data, by=request.actor, at=timezone.now())
    except HalfpennyError as error:
        show(error, form)
        return False
    messages.success(request, "The rate waits for a second person of finance.")
    return True


def _categorized(request: PersonRequest, form: AppCategoryForm) -> bool:
    typed = form.cleaned_data
    tax_rates.set_category(typed["app"], category=typed["category"], by=request.actor, at=timezone.now())
    messages.success(request, f"{typed['app'].name} is taxed so from the next document on.")
    return True


def show(error: HalfpennyError, form: forms.Form) -> None:
    """Put what the domain refused beside the fields it is about."""
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def tax_rate(request: PersonRequest, rate_id: UUID) -> HttpResponse:
    """Show one rate or proposal; a POST approves, rejects or withdraws it."""
    access.require_platform(request.actor, Role.FINANCE)
    rate = access.get(tax_rates.rates(), pk=rate_id)
    form = RateDecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, rate, form):
        return redirect("billing:tax-rate", rate.pk)
    same = tax_rates.rates().filter(country=rate.country, category=rate.category, state="approved")
    context = {
        "rate": rate,
        "form": form,
        "before": same.filter(starts_at__lt=rate.starts_at).exclude(pk=rate.pk).first(),
        "is_open": rate.state == TaxRate.State.PROPOSED,
        "is_own": rate.proposed_by_id == request.actor.user.pk,
    }
    return render(request, "billing/tax_rate.html", context)


def _decided(request: PersonRequest, rate: TaxRate, form: RateDecisionForm) -> bool:
    decision, note = form.cleaned_data["decision"], form.cleaned_data["note"]
    now = timezone.now()
    try:
        if decision == "approve":
            tax_rates.approve(rate, by=request.actor, at=now, note=note)
        elif decision == "reject":
            tax_rates.reject(rate, by=request.actor, at=now, note=note)
        else:
            tax_rates.withdraw(rate, by=request.actor, at=now)
    except HalfpennyError as error:
        show(error, form)
        return False
    return True
