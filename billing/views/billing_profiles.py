"""Pages of billing profiles: for finance of the marketplace, and for finance of each organization its own."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import billing_profiles, parties
from billing.billing_profiles import Buyer
from billing.einvoice import obstacles
from billing.house import house_terms
from billing.party_forms import ExemptionForm, ProfileForm, TermsForm
from billing.views.periods import require_finance
from billing.views.taxes import show
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError

PAGE_SIZE = 50


@login_required
@require_safe
def profiles(request: PersonRequest) -> HttpResponse:
    """List whom invoices are made out to, and what keeps each from being invoiced electronically."""
    require_finance(request.actor)
    page = Paginator(billing_profiles.billed(request.actor), PAGE_SIZE).get_page(request.GET.get("page"))
    organizations = list(page)
    register = parties.read(
        at=timezone.now(), terms=house_terms(), organizations=[one.pk for one in organizations]
    )
    rows = [
        (one, register.buyer(one), obstacles.of_organization(one, register=register)) for one in organizations
    ]
    return render(request, "billing/profiles.html", {"rows": rows, "page": page})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: PersonRequest, slug: str) -> HttpResponse:
    """Show how an organization wants its invoices; a POST sets that, its terms, or a certificate."""
    organization = access.get(billing_profiles.billed(request.actor), slug=slug)
    is_platform = request.actor.is_platform(Role.FINANCE)
    register = parties.read(at=timezone.now(), terms=house_terms(), organizations=[organization.pk])
    buyer = register.buyer(organization)
    shown = _forms(request, buyer)
    what = request.POST.get("what", "profile")
    form = shown.get(what) if is_platform or what == "profile" else None
    if form is not None and form.is_valid() and _saved(request, organization, what, form):
        return redirect("billing:profile", slug)
    context = {
        "organization": organization,
        "buyer": buyer,
        "parties": parties.parties_of(organization, register=register),
        "obstacles": obstacles.of_organization(organization, register=register),
        "exemptions": organization.exemption_certificates.order_by("-ends_date"),
        "forms": shown,
        "is_platform": is_platform,
        "due_days": house_terms().due_after.days,
    }
    return render(request, "billing/profile.html", context)


def _forms(request: PersonRequest, buyer: Buyer) -> dict[str, forms.Form]:
    """Give the three forms of the page, the one that was sent with what was typed."""
    what = request.POST.get("what", "profile") if request.method == "POST" else ""
    known: dict[str, Any] = {**vars(buyer), "legal_name": buyer.name, "emails": "\n".join(buyer.emails)}
    terms = {"payment_days": buyer.payment_days, "entity": buyer.entity_id}
    return {
        "profile": ProfileForm(request.POST if what == "profile" else None, initial=known),
        "terms": TermsForm(request.POST if what == "terms" else None, initial=terms),
        "exemption": ExemptionForm(request.POST if what == "exemption" else None),
    }


def _saved(request: PersonRequest, organization: Organization, what: str, form: Any) -> bool:
    by, now = request.actor, timezone.now()
    try:
        if what == "terms":
            billing_profiles.agree_terms(organization, **form.cleaned_data, by=by, at=now)
        elif what == "exemption":
            billing_profiles.record_exemption(organization, **form.cleaned_data, by=by, at=now)
        else:
            billing_profiles.set_profile(organization, facts=form.facts(), by=by, at=now)
    except HalfpennyError as error:
        show(error, form)
        return False
    messages.success(request, "Saved. It holds from the next document on.")
    return True
