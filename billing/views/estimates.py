"""Worked bills beside a price plan, as a fragment."""

from decimal import Decimal

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.estimates import USUAL_CALLS, worked_bills
from billing.forms import EstimateForm
from billing.house import house_terms


@login_required
@require_safe
def estimate(request: HttpRequest) -> HttpResponse:
    """Show worked bills for a price plan that is being typed or looked at (fragment)."""
    form = EstimateForm(request.GET)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        terms = house_terms()
        calls = form.cleaned_data["calls"]
        bills = worked_bills(
            form.charges(),
            cost_per_call=form.cleaned_data["cost_per_call"] or Decimal(0),
            terms=form.share_terms(terms.default_share),
            currency=form.cleaned_data["currency"] or terms.currency,
            calls=[calls] if calls else USUAL_CALLS,
        )
        context["bills"] = bills
        context["share"] = form.share_terms(terms.default_share)
    return render(request, "billing/_estimate.html", context)
