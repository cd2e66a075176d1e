"""Plans compared at one's own usage, and the last page before a subscription starts, changes or ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import plan_comparison, subscribing
from billing.house import house_terms
from billing.plan_comparison import BudgetEffect, Expected, PlanPrice
from billing.subscribing import AmountChanged
from billing.subscribing_forms import AgreeForm, AskForm, CallsForm, CancelForm, ConfirmForm
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import listing_pages, queries, subscription_approvals, terms
from marketplace.catalog.approval_models import SubscriptionRule
from marketplace.catalog.forms.subscriptions import SubscribeForm
from marketplace.catalog.listing_pages import PlanView
from marketplace.catalog.models import Listing, Plan, Subscription
from marketplace.catalog.subscription_approvals import Wanted
from marketplace.core.money import exact


@dataclass(frozen=True)
class Outlook:
    """What a month on a plan is expected to be: how many calls, its bill, what it takes of budgets."""

    expected: Expected
    price: PlanPrice
    budgets: list[BudgetEffect]


@login_required
@require_safe
@vary_on_headers("HX-Request")
def compare(request: PersonRequest, slug: str) -> HttpResponse:
    """Bill every plan at the calls of a team, or at a number; a fragment, or a page for a browser without scripts."""
    listing = queries.listing_for(request.actor, slug=slug)
    team = (
        access.own_teams(request.actor, role=Role.CONSUMER)
        .filter(pk=_number(request.GET.get("team")))
        .first()
    )
    form = CallsForm(request.GET)
    typed = form.cleaned_data["calls"] if form.is_valid() else None
    expected = _expected(listing, team, typed, at=timezone.now())
    views = listing_pages.plan_views(queries.offered_plans(listing.app))
    context = {
        "listing": listing,
        "form": form,
        "team": team,
        "expected": expected,
        "prices": plan_comparison.compare(
            views,
            calls=expected.calls,
            cost_per_call=listing_pages.cost_per_call(listing.version) or Decimal(0),
            share=house_terms().default_share,
        ),
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request, "billing/_plans_compared.html" if is_fragment else "billing/plans_compared.html", context
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what a subscription costs and takes of the budget, and start it once somebody agrees to that."""
    listing = queries.listing_for(request.actor, slug=slug)
    choice = SubscribeForm(
        request.GET,
        plans=queries.offered_plans(listing.app),
        teams=access.own_teams(request.actor, role=Role.CONSUMER),
        cost_centers=access.cost_centers(request.actor),
    )
    if not choice.is_valid():
        return redirect("catalog:subscribe", slug)
    chosen, now = dict(choice.cleaned_data), timezone.now()
    calls = chosen.pop("calls")
    outlook = _outlook(listing, chosen, calls=calls, at=now)
    wanted = Wanted.of(listing.app, **chosen, calls=calls)
    if rule := subscription_approvals.rule_for(wanted):
        return _ask(request, wanted, rule)
    form = ConfirmForm(request.POST or None, currency=settings.CURRENCY)
    money = subscribing.money_of_start(chosen["plan"], at=now)
    if form.is_valid():
        spending, agreed = form.spending(), form.cleaned_data["agreed"]
        started = _agreed(
            request,
            lambda: subscribing.start(
                listing.app, **chosen, calls=calls, spending=spending, agreed=agreed, by=request.actor, at=now
            ),
        )
        if started is not None:
            messages.success(request, f"{started.team} has {listing.app} now. Make a key to call it.")
            return redirect("catalog:subscription", started.pk)
    context = {
        "listing": listing,
        "chosen": chosen,
        "view": PlanView.of(chosen["plan"]),
        "money": money,
        "outlook": outlook,
        "terms": terms.CURRENT,
        "form": form,
        "back_url": f"{reverse('catalog:subscribe', args=[slug])}?{request.GET.urlencode()}",
    }
    return render(request, "billing/confirm_subscription.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_change(request: PersonRequest, subscription_id: UUID, code: str) -> HttpResponse:
    """Show what another plan makes of this month's fees, and change to it once somebody agrees."""
    found = _own(request.actor, subscription_id)
    plan: Plan = access.get(queries.offered_plans(found.app), code=code)
    if found.plan_id in (None, plan.pk) or found.state != Subscription.State.ACTIVE:
        return redirect("catalog:subscription-plan", found.pk)
    if rule := subscription_approvals.rule_for_change(found, plan):
        return _ask(request, subscription_approvals.wanted_change(found, plan), rule)
    now = timezone.now()
    money = subscribing.money_of_change(found, plan, at=now)
    form = AgreeForm(request.POST or None)
    if form.is_valid():
        agreed = form.cleaned_data["agreed"]
        done = _agreed(
            request,
            lambda: (
                subscribing.change_plan(found, plan=plan, agreed=agreed, by=request.actor, at=now) or found
            ),
        )
        if done is not None:
            messages.success(request, f"The plan is {plan.name} from now on.")
            return redirect("catalog:subscription", found.pk)
    context = {
        "subscription": found,
        "now_on": PlanView.of(found.plan) if found.plan else None,
        "view": PlanView.of(plan),
        "money": money,
        "terms": terms.CURRENT,
        "form": form,
    }
    return render(request, "billing/confirm_change.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show what is still billed, ask for the app's short name, then end the subscription and its keys."""
    found, now = _own(request.actor, subscription_id), timezone.now()
    money = subscribing.money_of_cancel(found, at=now) if found.plan else None
    form = CancelForm(request.POST or None, slug=found.app.slug)
    if form.is_valid():
        typed = form.cleaned_data
        done = _agreed(
            request,
            lambda: (
                subscribing.cancel(
                    found, agreed=typed["agreed"], by=request.actor, at=now, reason=typed["reason"]
                )
                or found
            ),
        )
        if done is not None:
            messages.success(request, f"The subscription to {found.app} has ended. Its keys no longer work.")
            return redirect("catalog:subscriptions")
    return render(request, "billing/cancel.html", {"subscription": found, "money": money, "form": form})


def _ask(request: PersonRequest, wanted: Wanted, rule: SubscriptionRule) -> HttpResponse:
    """Show what needs approval and why; a POST asks for it."""
    now = timezone.now()
    form = AskForm(request.POST or None)
    form.fields["agreed"].required = False
    if form.is_valid():
        asked = subscription_approvals.ask(
            wanted, rule=rule, note=form.cleaned_data["note"], by=request.actor.user, at=now
        )
        messages.success(request, "Asked. You are told when somebody has decided.")
        return redirect("billing:subscription-request", asked.pk)
    context = {
        "wanted": wanted,
        "rule": rule,
        "view": PlanView.of(wanted.plan),
        "money": subscribing.money_of_start(wanted.plan, at=now),
        "form": form,
        "terms": terms.CURRENT,
    }
    return render(request, "billing/ask_approval.html", context)


def _agreed(request: PersonRequest, step: Callable[[], Subscription]) -> Subscription | None:
    """Take a step that was agreed to; None when its amounts changed meanwhile, which the page then says."""
    try:
        return step()
    except AmountChanged as error:
        messages.warning(request, error.message)
        return None


def _own(actor: Actor, subscription_id: UUID) -> Subscription:
    """Return a subscription the person may act on; 404 for one they may not see, 403 for one they may only see."""
    found = access.get(queries.visible_subscriptions(actor), pk=subscription_id)
    access.require(
        queries.may_manage(found, actor=actor),
        message=f"Only consumers of {found.team} manage its subscriptions.",
    )
    return found


def _expected(listing: Listing, team: Team | None, typed: int | None, *, at: datetime) -> Expected:
    if typed:
        return Expected(typed, is_measured=False)
    return plan_comparison.expected_calls(listing.app, team, at=at)


def _outlook(listing: Listing, chosen: dict[str, Any], *, calls: int | None, at: datetime) -> Outlook:
    plan, team = chosen["plan"], chosen["team"]
    expected = _expected(listing, team, calls, at=at)
    cost = listing_pages.cost_per_call(listing.version) or Decimal(0)
    [price] = plan_comparison.compare(
        [PlanView.of(plan)], calls=expected.calls, cost_per_call=cost, share=house_terms().default_share
    )
    with exact():
        added = cost * expected.calls
    effects = plan_comparison.budget_effects(
        team=team, cost_center=chosen["cost_center"], added=added, at=at, currency=settings.CURRENCY
    )
    return Outlook(expected, price, effects)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
