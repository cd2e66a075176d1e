"""Pages of budgets: all of them, one with its history, setting one, at how many percent people are told, alerts."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput
from quotas import budget_moves, budgets, limit_watches
from quotas.budget_models import Budget
from quotas.budget_queries import page_of, standings
from quotas.budgeting import pages
from quotas.budgeting.forms import BudgetForm, FilterForm, ThresholdsForm, WatchForm, tell_refusal
from quotas.owners import find_owner

PAGE_SIZE = 25
SHOWN_MOVES = 20


@login_required
@require_safe
def all_budgets(request: PersonRequest) -> HttpResponse:
    """List the budgets the person may see, with where they stand and what is expected."""
    now = timezone.now()
    form = FilterForm(request.GET)
    found = budgets.visible_budgets(request.actor).filter(**form.lookups())
    if form.chosen_mode:
        found = budgets.of_mode(found, form.chosen_mode, at=now)
    ordered = found.order_by("team__name", "cost_center__code", "pk")
    page = Paginator(ordered, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [pages.row_of(one) for one in standings(list(page), at=now, currency=settings.CURRENCY)],
        "is_filtered": bool(form.lookups() or form.chosen_mode),
        "can_set": _may_set_some(request),
    }
    return render(request, "quotas/budgets.html", context)


@login_required
@require_safe
def budget(request: PersonRequest, budget_id: UUID) -> HttpResponse:
    """Show one budget: the month, who spends, what was decided, moves, thresholds."""
    found = limit_watches.with_watches(budgets.visible_budgets(request.actor), of=request.actor.user)
    one, now = access.get(found, pk=budget_id), timezone.now()
    page = page_of(one, at=now, currency=settings.CURRENCY)
    currency = page.now.currency or settings.CURRENCY
    moves = budget_moves.moves_of(one)[:SHOWN_MOVES]
    context = {
        "budget": one,
        "page": page,
        "row": pages.row_of(page.now),
        "currency": currency,
        "versions": [
            (version, version.is_in_force(now), version.starts_at > now) for version in page.versions
        ],
        "charts": pages.charts(page, at=now, currency=currency),
        "spenders": pages.spenders(page, at=now),
        "usage_url": pages.usage_url(page.now, at=now),
        "moves": list(moves),
        "may_set": budgets.may_set(one, actor=request.actor),
        "may_offer": budget_moves.may_offer(one, actor=request.actor) and page.now.standing is not None,
        "set_query": pages.key_of(one),
        "thresholds_form": ThresholdsForm(
            initial={"thresholds": ", ".join(str(percent) for percent in one.thresholds)}
        ),
        "may_tend": budgets.may_tend(one, actor=request.actor),
    }
    return render(request, "quotas/budget.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_budget(request: PersonRequest) -> HttpResponse:
    """Show the form for a budget, filled with the present one; a POST sets it."""
    owners = budgets.settable_owners(request.actor)
    access.require(bool(owners), message="Budgets are set by finance and operators.")
    form = BudgetForm(
        request.POST or None,
        owners=pages.choices(owners),
        months=pages.coming_months(timezone.now()),
        initial=_present(request),
    )
    if form.is_valid() and (made := _set(request, form)):
        messages.success(request, "The budget is set.")
        return redirect("quotas:budget", made.pk)
    return render(request, "quotas/set_budget.html", {"form": form, "currency": settings.CURRENCY})


@login_required
@require_POST
def set_thresholds(request: PersonRequest, budget_id: UUID) -> HttpResponse:
    """Say at how many percent the owner and finance are told."""
    one = _find(request, budget_id)
    form = ThresholdsForm(request.POST)
    if form.is_valid():
        chosen = form.cleaned_data["thresholds"]
        try:
            budgets.set_thresholds(one, thresholds=chosen, by=request.actor, at=timezone.now())
            messages.success(request, "Thresholds are set.")
        except InvalidInput as error:
            messages.error(request, f"Thresholds {error.errors[0].message}.")
    else:
        messages.error(request, "Thresholds are whole percentages from 1 to 100, such as 50, 80, 95, 100.")
    return redirect("quotas:budget", one.pk)


@login_required
@require_POST
def watch(request: PersonRequest) -> HttpResponse:
    """Set an alert for oneself: on a budget, or on the limits of a subscription."""
    form = WatchForm(request.POST)
    if not form.is_valid():
        messages.error(request, "An alert is at a whole percentage from 1 to 100.")
        return redirect("quotas:my-usage")
    kind, _, key = form.cleaned_data["of"].partition(":")
    percent, now = form.cleaned_data["percent"], timezone.now()
    if kind == "budget":
        one = access.get(budgets.visible_budgets(request.actor), pk=key)
        limit_watches.watch(budget=one, percent=percent, by=request.actor, at=now)
    else:
        subscription = find_owner(request.actor, "subscription", key).instance
        limit_watches.watch(subscription=subscription, percent=percent, by=request.actor, at=now)
    messages.success(request, f"You will be told at {percent} %.")
    return _back(request, kind, key)


@login_required
@require_POST
def unwatch(request: PersonRequest, watch_id: int) -> HttpResponse:
    """End an alert of one's own."""
    one = limit_watches.unwatch(watch_id, by=request.actor)
    messages.success(request, "The alert is removed.")
    return _back(request, "budget" if one.budget_id else "", str(one.budget_id))


def _find(request: PersonRequest, budget_id: UUID) -> Budget:
    return access.get(budgets.visible_budgets(request.actor), pk=budget_id)


def _back(request: PersonRequest, kind: str, key: str) -> HttpResponse:
    """Go back to the page of the budget when the alert was set there, else to one's own usage."""
    on_budget = kind == "budget" and request.POST.get("from") == "budget"
    return redirect("quotas:budget", key) if on_budget else redirect("quotas:my-usage")


def _present(request: PersonRequest) -> dict[str, Any]:
    """Fill the form with the budget that the address names."""
    of = request.GET.get("of", "")[:60]
    kind, _, pk = of.partition(":")
    found = budgets.visible_budgets(request.actor)
    if kind not in ("cost_center", "team") or not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return {"thresholds": "50, 80, 95, 100"}
    one = found.filter(**{f"{kind}_id": int(pk)}).first()
    version = budgets.present_version(one, at=timezone.now()) if one else None
    return {
        "of": of,
        "amount": f"{version.amount.normalize():f}" if version else None,
        "mode": version.mode if version else "hard",
        "thresholds": ", ".join(str(percent) for percent in one.thresholds) if one else "50, 80, 95, 100",
    }


def _set(request: PersonRequest, form: BudgetForm) -> Budget | None:
    """Set what the form says; what the domain refuses goes to its field."""
    typed = form.cleaned_data
    owner = find_owner(request.actor, *form.owner)
    try:
        return budgets.set_budget(
            owner,
            amount=typed["amount"],
            currency=settings.CURRENCY,
            mode=typed["mode"],
            starts_at=form.starts_at,
            thresholds=typed["thresholds"],
            reason=typed["reason"],
            by=request.actor,
            at=timezone.now(),
        )
    except (InvalidInput, Conflict) as error:
        tell_refusal(form, error, names={"limit": "amount", "starts_at": "begins"})
    return None


def _may_set_some(request: PersonRequest) -> bool:
    roles = (access.Role.FINANCE, access.Role.OPERATOR)
    return request.actor.is_platform(*roles) or bool(request.actor.organizations_as(*roles))
