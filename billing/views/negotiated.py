"""Pages of negotiated prices: the list, a new one with its consequences, one of them with its decision."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import negotiated
from billing.charge_words import facts_of
from billing.coupon_forms import refuse
from billing.house import house_terms, house_thresholds
from billing.models import NegotiatedPrice
from billing.negotiated_effects import effect_of_json
from billing.negotiated_forms import NegotiatedPriceForm, PriceDecisionForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.core.periods import month_of

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List negotiated prices; finance also sees those that wait and those that came to nothing."""
    found = negotiated.prices(request.actor)
    state = request.GET.get("state", "")
    if state in NegotiatedPrice.State.values:
        found = found.filter(state=state)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(one, effect_of_json(one.projection)) for one in page.object_list],
        "state": state,
        "states": NegotiatedPrice.State.values,
        "is_platform": request.actor.is_platform(Role.FINANCE),
        "today": timezone.now().date(),
    }
    return render(request, "billing/negotiated_prices.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show the form for a subscription's own price; a POST agrees or proposes it, or previews what it comes to."""
    access.require_platform(request.actor, Role.FINANCE)
    subscription = access.get(
        queries.visible_subscriptions(request.actor).exclude(plan=None), pk=subscription_id
    )
    assert subscription.plan is not None
    now = timezone.now()
    form = NegotiatedPriceForm(
        request.POST or None, charges=subscription.plan.charges, month=month_of(now).starts_at.date()
    )
    effect = None
    if form.is_valid():
        terms: dict[str, Any] = {
            "at": now,
            "share": house_terms().default_share,
            "thresholds": house_thresholds(),
        }
        try:
            if "preview" in request.POST:
                effect = negotiated.preview(subscription, proposal=form.proposal(), **terms)
            else:
                made = negotiated.propose(subscription, proposal=form.proposal(), by=request.actor, **terms)
                messages.success(request, _said(made))
                return redirect("billing:negotiated-price", made.pk)
        except HalfpennyError as error:
            refuse(form, error, {"charge.code": "charge"})
    context = {"subscription": subscription, "form": form, "effect": effect}
    return render(request, "billing/negotiated_price_form.html", context)


def _said(made: NegotiatedPrice) -> str:
    if made.state == NegotiatedPrice.State.PROPOSED:
        return "It leaves less than the floor: it waits for a second person."
    return f"It holds from {made.starts_on:%B %Y} on."


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def negotiated_price(request: PersonRequest, price_id: UUID) -> HttpResponse:
    """Show a negotiated price with what it makes of a month; a POST approves, rejects, withdraws or ends it."""
    found = access.get(negotiated.prices(request.actor), pk=price_id)
    form = PriceDecisionForm(request.POST or None)
    if form.is_valid() and _decided(request, found, form):
        return redirect("billing:negotiated-price", found.pk)
    is_platform = request.actor.is_platform(Role.FINANCE)
    today = timezone.now().date()
    context = {
        "price": found,
        "charge": facts_of(found.charge),
        "effect": effect_of_json(found.projection) if is_platform else None,
        "form": form,
        "is_platform": is_platform,
        "is_own": found.proposed_by_id == request.actor.user.pk,
        "may_decide": negotiated.may_decide(found, actor=request.actor),
        "may_end": is_platform
        and found.state == "agreed"
        and (found.ends_on is None or found.ends_on > today),
    }
    return render(request, "billing/negotiated_price.html", context)


def _decided(request: PersonRequest, found: NegotiatedPrice, form: PriceDecisionForm) -> bool:
    decision, note, now = form.cleaned_data["decision"], form.cleaned_data["note"], timezone.now()
    try:
        if decision == "approve":
            negotiated.approve(found, by=request.actor, at=now, note=note)
        elif decision == "reject":
            negotiated.reject(found, by=request.actor, at=now, note=note)
        elif decision == "withdraw":
            negotiated.withdraw(found, by=request.actor, at=now)
        else:
            negotiated.end(found, by=request.actor, at=now, reason=note)
    except HalfpennyError as error:
        form.add_error("note" if isinstance(error, InvalidInput) else None, error.message)
        found.refresh_from_db()
        return False
    return True
