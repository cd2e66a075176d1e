"""Pages of coupons: the list, a new one, one of them with who redeemed it; redeeming one for a subscription."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import coupon_queries, coupons, negotiated
from billing.coupon_forms import CouponForm, ReasonForm, RedeemForm, refuse
from billing.models import Coupon
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries
from marketplace.catalog.models import Subscription
from marketplace.core.errors import HalfpennyError, NotAllowed

PAGE_SIZE = 50


@login_required
@require_safe
def listed(request: PersonRequest) -> HttpResponse:
    """List coupons with what they cost so far."""
    found = coupon_queries.coupons(request.actor)
    state = request.GET.get("state", "")
    if state in Coupon.State.values:
        found = found.filter(state=state)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    costs = coupon_queries.costs(page.object_list)
    context = {
        "page": page,
        "rows": [(one, costs.get(one.code, [])) for one in page.object_list],
        "state": state,
        "states": Coupon.State.values,
    }
    return render(request, "billing/coupons.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PersonRequest) -> HttpResponse:
    """Show the form of a coupon; a POST makes it."""
    access.require_platform(request.actor, Role.FINANCE)
    form = CouponForm(request.POST or None)
    if form.is_valid():
        try:
            coupon = coupons.make(form.terms(), by=request.actor, at=timezone.now())
        except HalfpennyError as error:
            refuse(form, error, {"expires_at": "expires_on"})
        else:
            messages.success(request, f"{coupon.code} can be redeemed.")
            return redirect("billing:coupon", coupon.code)
    return render(request, "billing/coupon_form.html", {"form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def coupon(request: PersonRequest, code: str) -> HttpResponse:
    """Show a coupon with who redeemed it and what it cost; a POST ends it."""
    found = access.get(coupon_queries.coupons(request.actor), code=code)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            coupons.end(found, by=request.actor, at=timezone.now(), reason=form.cleaned_data["reason"])
        except HalfpennyError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "Nobody can redeem it any more. What was redeemed goes on.")
        return redirect("billing:coupon", found.code)
    of_coupon = coupon_queries.redemptions(request.actor).filter(coupon=found)
    context = {
        "coupon": found,
        "costs": coupon_queries.costs([found]).get(found.code, []),
        "page": Paginator(of_coupon, PAGE_SIZE).get_page(request.GET.get("page")),
        "today": timezone.now().date(),
    }
    return render(request, "billing/coupon.html", context)


@login_required
@require_POST
def take_off(request: PersonRequest, redemption_id: UUID) -> HttpResponse:
    """End a redemption with this month."""
    redemption = access.get(coupon_queries.redemptions(request.actor), pk=redemption_id)
    try:
        coupons.take_off(redemption, by=request.actor, at=timezone.now())
    except HalfpennyError as error:
        if isinstance(error, NotAllowed):
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, "It ends with this month.")
    return redirect("billing:coupon", redemption.coupon.code)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
def own_prices(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show what a subscription has of its own: prices and coupons; a POST redeems a code. A fragment, or a page."""
    subscription = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    form = RedeemForm(request.POST or None)
    if form.is_valid() and _redeemed(request, subscription, form):
        return redirect("billing:own-prices", subscription.pk)
    is_fragment = request.htmx and not request.htmx.boosted
    context = {
        "subscription": subscription,
        "form": form,
        "redemptions": coupon_queries.of_subscription(subscription),
        "prices": negotiated.prices(request.actor).filter(subscription=subscription, state="agreed"),
        "may_redeem": coupons.may_redeem(subscription, request.actor),
        "may_negotiate": request.actor.is_platform(Role.FINANCE) and subscription.plan is not None,
        "today": timezone.now().date(),
    }
    return render(request, "billing/_own_prices.html" if is_fragment else "billing/own_prices.html", context)


def _redeemed(request: PersonRequest, subscription: Subscription, form: RedeemForm) -> bool:
    try:
        made = coupons.redeem(
            form.cleaned_data["code"], subscription=subscription, by=request.actor, at=timezone.now()
        )
    except NotAllowed:
        raise
    except HalfpennyError as error:
        refuse(form, error)
        return False
    messages.success(request, f"{made.coupon.code} counts from {made.starts_on:%B %Y} on.")
    return True
