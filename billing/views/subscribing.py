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
from billing.subscribing_forms import TIMES, AgreeForm, AskForm, CallsForm, CancelForm, CapForm, ConfirmForm
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import listing_pages, queries, subscription_approvals, terms, trials
from marketplace.catalog.approval_models import SubscriptionRule
from marketplace.catalog.forms.subscriptions import SubscribeForm
from marketplace.catalog.listing_pages import PlanView
from marketplace.catalog.models import Listing, Plan, Subscription
from marketplace.catalog.subscription_approvals import Wanted
from marketplace.core.errors import InvalidInput
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
    form = ConfirmForm(request.POST or None, currency=chosen["plan"].currency)
    money = subscribing.money_of_start(
        chosen["plan"], at=now, team=chosen["team"], environment=chosen["environment"]
    )
    if form.is_valid():
        cap, agreed = form.terms(), form.cleaned_data["agreed"]
        started = _agreed(
            request,
            lambda: subscribing.start(
                listing.app, **chosen, calls=calls, cap=cap, agreed=agreed, by=request.actor, at=now
            ),
            form,
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
    found = own_subscription(request.actor, subscription_id)
    plan: Plan = access.get(queries.offered_plans(found.app), code=code)
    if found.plan_id in (None, plan.pk) or found.state != Subscription.State.ACTIVE:
        return redirect("catalog:subscription-plan", found.pk)
    if rule := subscription_approvals.rule_for_change(found, plan):
        return _ask(request, subscription_approvals.wanted_change(found, plan), rule)
    assert found.plan is not None
    now = timezone.now()
    usual = subscribing.usual_time(found.plan, plan, at=now)
    when = _when(request, usual)
    money = subscribing.money_of_change(found, plan, at=now, when=when)
    form = AgreeForm(request.POST or None)
    if form.is_valid():
        agreed = form.cleaned_data["agreed"]
        done = _agreed(
            request,
            lambda: subscribing.change_plan(
                found, plan=plan, agreed=agreed, by=request.actor, at=now, when=when
            ),
        )
        if done is not None:
            from_when = f"{money.starts_at:%-d %B %Y}" if money.starts_at else "now"
            messages.success(request, f"The plan is {plan.name} from {from_when} on.")
            return redirect("catalog:subscription", found.pk)
    context = {
        "subscription": found,
        "now_on": PlanView.of(found.plan) if found.plan else None,
        "view": PlanView.of(plan),
        "money": money,
        "terms": terms.CURRENT,
        "form": form,
        "when": when,
        "tabs": _tabs(request, when, usual),
        "trial": trials.running(found, at=now),
    }
    return render(request, "billing/confirm_change.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show what is still billed, ask for the app's short name, then end the subscription and its keys."""
    found, now = own_subscription(request.actor, subscription_id), timezone.now()
    when = _when(request, subscribing.NOW) if found.plan else subscribing.NOW
    money = subscribing.money_of_cancel(found, at=now, when=when) if found.plan else None
    form = CancelForm(request.POST or None, slug=found.app.slug)
    if form.is_valid():
        typed = form.cleaned_data
        done = _agreed(
            request,
            lambda: subscribing.cancel(
                found,
                agreed=typed["agreed"],
                by=request.actor,
                at=now,
                reason=typed["reason"],
                when=when,
            ),
        )
        if done is not None and money is not None and money.starts_at:
            messages.success(request, f"The subscription ends on {money.starts_at:%-d %B %Y}.")
            return redirect("catalog:subscription", found.pk)
        if done is not None:
            messages.success(request, f"The subscription to {found.app} has ended. Its keys no longer work.")
            return redirect("catalog:subscriptions")
    context = {
        "subscription": found,
        "money": money,
        "form": form,
        "when": when,
        "tabs": _tabs(request, when, subscribing.NOW),
    }
    return render(request, "billing/cancel.html", context)


def _when(request: PersonRequest, usual: str) -> str:
    """Read when a step is to be taken: from the form that agrees to it, or from the address of the page."""
    asked = request.POST.get("when") or request.GET.get("when") or usual
    return asked if asked in (subscribing.NOW, subscribing.PERIOD_END) else usual


def _tabs(request: PersonRequest, when: str, usual: str) -> list[dict[str, Any]]:
    tabs = [
        {"label": label, "url": f"?when={value}", "is_current": value == when, "value": value}
        for value, label in TIMES
    ]
    return sorted(tabs, key=lambda one: one["value"] != usual)


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
        "money": subscribing.money_of_start(
            wanted.plan, at=now, team=wanted.team, environment=wanted.environment
        ),
        "form": form,
        "terms": terms.CURRENT,
    }
    return render(request, "billing/ask_approval.html", context)


def _agreed(
    request: PersonRequest, step: Callable[[], Subscription], form: CapForm | None = None
) -> Subscription | None:
    """Take a step that was agreed to; None when its amounts changed meanwhile or its cap cannot be, as the page then says."""
    try:
        return step()
    except AmountChanged as error:
        messages.warning(request, error.message)
        return None
    except InvalidInput as error:
        if form is None or any(one.field not in form.fields for one in error.errors):
            raise
        for one in error.errors:
            form.add_error(one.field, f"{one.message[:1].upper()}{one.message[1:]}.")
        return None


def own_subscription(actor: Actor, subscription_id: UUID) -> Subscription:
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
