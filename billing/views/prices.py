"""What a plan of the catalogue would cost at somebody's own number of calls."""

from decimal import Decimal

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from billing.estimates import worked_bills
from billing.forms import MOST_CALLS
from billing.house import house_terms
from billing.pricing import parse_charges
from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import listing_pages, queries


class UsageForm(forms.Form):
    """How often somebody expects to call."""

    calls = forms.IntegerField(min_value=1, max_value=MOST_CALLS, label="Calls a month")


@login_required
@require_safe
@vary_on_headers("HX-Request")
def price(request: PersonRequest, slug: str, code: str) -> HttpResponse:
    """Work out a month's bill on an offered plan; a fragment, or a page for a browser without scripts."""
    listing = queries.listing_for(request.actor, slug=slug)
    plan = access.get(queries.offered_plans(listing.app), code=code)
    form = UsageForm(request.GET)
    context: dict[str, object] = {"listing": listing, "plan": plan, "form": form}
    if form.is_valid():
        calls = form.cleaned_data["calls"]
        [context["bill"]] = worked_bills(
            parse_charges(plan.charges) if plan.charges else (),
            cost_per_call=listing_pages.cost_per_call(listing.version) or Decimal(0),
            terms=house_terms().default_share,
            currency=plan.currency,
            calls=[calls],
        )
        context["is_over_limit"] = calls > plan.monthly_calls_limit
    is_fragment = request.htmx and not request.htmx.boosted
    return render(request, "billing/_price.html" if is_fragment else "billing/price.html", context)
