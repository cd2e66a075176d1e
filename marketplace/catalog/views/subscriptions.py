"""A team's subscriptions: looked at, given keys, led to another plan."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access, keys
from marketplace.accounts.forms import KeyForm
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import agreements, listing_pages, queries
from marketplace.catalog import subscriptions as domain
from marketplace.catalog.forms.subscriptions import ChangePlanForm
from marketplace.catalog.models import Subscription, SubscriptionKey
from marketplace.catalog.views.hooks import find_url

OVERLAP = timedelta(hours=24)
PAGE_SIZE = 50
TABS = {"active": "Active", "sandbox": "Sandbox", "ended": "Suspended and ended"}


@login_required
@require_safe
def subscriptions(request: PersonRequest) -> HttpResponse:
    """List the subscriptions the person may see: active ones, sandboxes, ended ones."""
    shown = request.GET.get("show", "")
    shown = shown if shown in TABS else "active"
    found = queries.visible_subscriptions(request.actor).order_by("-starts_at", "-pk")
    page = Paginator(queries.subscriptions_shown(found, shown), PAGE_SIZE).get_page(request.GET.get("page"))
    tabs = [
        {"label": label, "url": f"?show={name}", "is_current": name == shown} for name, label in TABS.items()
    ]
    return render(request, "catalog/subscriptions.html", {"page": page, "tabs": tabs, "shown": shown})


@login_required
@never_cache
@require_safe
def subscription(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show one subscription: limits, usage, keys, and how to make the first call."""
    found = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    return _page(request, found)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def make_key(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Make a key and show it in this answer, the only place it ever appears."""
    found = _own(request, subscription_id)
    if request.method != "POST":  # somebody came back to the address of the answer
        return redirect("catalog:subscription", subscription_id)
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _page(request, found, form=form)
    now = timezone.now()
    _, secret = domain.issue_subscription_key(
        found, by=request.actor.user, at=now, name=form.cleaned_data["name"], expires_at=form.expires_at(now)
    )
    return _page(request, found, secret=secret)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_key(request: PersonRequest, subscription_id: UUID, key_id: UUID) -> HttpResponse:
    """Make the successor of a key and show it in this answer; the old one works for a day more."""
    link = _link(request, subscription_id, key_id)
    if request.method != "POST":
        return redirect("catalog:subscription", subscription_id)
    _, secret = domain.rotate_subscription_key(
        link, overlap=OVERLAP, by=request.actor.user, at=timezone.now()
    )
    return _page(request, link.subscription, secret=secret)


@login_required
@require_POST
def revoke_key(request: PersonRequest, subscription_id: UUID, key_id: UUID) -> HttpResponse:
    """End a key at once."""
    link = _link(request, subscription_id, key_id)
    keys.revoke(link.key, at=timezone.now(), by=request.actor.user)
    messages.success(request, f"The key {link.key.name or link.key} no longer works.")
    return redirect("catalog:subscription", subscription_id)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_plan(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Compare the plans offered now with the present one; the next page, which billing makes, says what it costs."""
    found = _own(request, subscription_id)
    plans = queries.offered_plans(found.app)
    current = found.plan.code if found.plan else None
    form = ChangePlanForm(request.POST or None, plans=plans, initial={"plan": current})
    if form.is_valid():
        return redirect(find_url("billing:subscription-plan", found.pk, form.cleaned_data["plan"].code))
    context = {
        "subscription": found,
        "form": form,
        "plans": listing_pages.plan_views(plans),
        "plans_url": find_url("billing:plans", found.app.slug),
    }
    return render(request, "catalog/change_plan.html", context)


def _own(request: PersonRequest, subscription_id: UUID) -> Subscription:
    """Return a subscription the person may act on; 404 for one they may not see, 403 for one they may only see."""
    found = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    access.require(
        queries.may_manage(found, actor=request.actor),
        message=f"Only consumers of {found.team} manage its subscriptions.",
    )
    return found


def _link(request: PersonRequest, subscription_id: UUID, key_id: UUID) -> SubscriptionKey:
    links = queries.key_links(_own(request, subscription_id))
    return access.get(links, key=key_id)


def _page(
    request: PersonRequest, found: Subscription, *, form: KeyForm | None = None, secret: str = ""
) -> HttpResponse:
    now = timezone.now()
    version = queries.listed_version(found.app)
    links = list(queries.key_links(found))
    context = {
        "subscription": found,
        "can_manage": queries.may_manage(found, actor=request.actor),
        "keys": [(link.key, link.key.is_valid(now)) for link in links],
        "has_calls": any(link.key.last_used_at for link in links),
        "form": form or KeyForm(initial={"name": ""}),
        "secret": secret,
        "price": listing_pages.PlanView.of(found.plan).text if found.plan else "Never billed",
        "version": version,
        "agreements": agreements.agreements_of(found),
        "cancel_url": find_url("billing:subscription-cancel", found.pk),
        "pause_url": find_url("billing:subscription-pause", found.pk),
        "month_url": find_url("billing:subscription-month", found.pk),
        "base_url": settings.PUBLIC_URL.rstrip("/"),
        "shell_body": listing_pages.shell_body(version) if version else "",
    }
    return render(request, "catalog/subscription.html", context)
