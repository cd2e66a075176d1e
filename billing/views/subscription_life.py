"""Pages of a subscription's life: pausing and resuming, what waits for its day, the end of a trial, its spend cap."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import lifecycle, progressive, spend_caps, subscription_standing
from billing.subscribing_forms import CapForm, PauseForm, ThresholdsForm, TrialForm
from billing.views.subscribing import own_subscription
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import pauses, planned_steps, queries, trials
from marketplace.core.errors import InvalidInput
from marketplace.core.money import from_minor


@login_required
@never_cache
@require_safe
def standing(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show what the month has come to, the cap, a trial, a pause and what waits; a fragment of the subscription's page."""
    found = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    context = {
        "subscription": found,
        "standing": subscription_standing.standing_of(found, at=timezone.now()),
        "can_manage": queries.may_manage(found, actor=request.actor),
        "may_bill": request.actor.is_platform(Role.FINANCE),
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request,
        "billing/_subscription_standing.html" if is_fragment else "billing/subscription_standing.html",
        context,
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def pause(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Say what a pause stops and what it saves; a POST begins it."""
    found, now = own_subscription(request.actor, subscription_id), timezone.now()
    if found.plan is None or found.state != found.State.ACTIVE:
        return redirect("catalog:subscription", found.pk)
    form = PauseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        pauses.pause(found, by=request.actor.user, at=now, reason=form.cleaned_data["reason"])
        messages.success(request, f"{found.app} is paused. Its keys work again when you resume it.")
        return redirect("catalog:subscription", found.pk)
    context = {
        "subscription": found,
        "form": form,
        "days": subscription_standing.days_of_pause(found, at=now),
    }
    return render(request, "billing/pause.html", context)


@login_required
@require_POST
def resume(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """End a pause."""
    found = own_subscription(request.actor, subscription_id)
    pauses.resume(found, by=request.actor.user, at=timezone.now())
    messages.success(request, f"{found.app} can be called again.")
    return redirect("catalog:subscription", found.pk)


@login_required
@require_POST
def call_off(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Let the step not come that waits for the end of the month."""
    found = own_subscription(request.actor, subscription_id)
    planned_steps.call_off_waiting(found, by=request.actor.user, at=timezone.now())
    messages.success(request, "Called off: everything stays as it is.")
    return redirect("catalog:subscription", found.pk)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def trial(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Say what comes when the trial ends, and let somebody choose."""
    found, now = own_subscription(request.actor, subscription_id), timezone.now()
    running = trials.running(found, at=now)
    if running is None:
        return redirect("catalog:subscription", found.pk)
    form = TrialForm(request.POST or None, initial={"then": running.then})
    if form.is_valid():
        trials.decide(running, then=form.cleaned_data["then"], by=request.actor.user, at=now)
        messages.success(request, lifecycle.what_comes(running))
        return redirect("catalog:subscription", found.pk)
    context = {
        "subscription": found,
        "form": form,
        "trial": running,
        "sentence": lifecycle.what_comes(running),
    }
    return render(request, "billing/trial.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def cap(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show and set the spend cap; an empty amount ends it."""
    found = own_subscription(request.actor, subscription_id)
    if found.plan is None:
        return redirect("catalog:subscription", found.pk)
    current = spend_caps.cap_of(found)
    initial: dict[str, Any] = {}
    if current is not None:
        amount = from_minor(current.amount_minor, current.currency)
        initial = {"cap": amount, "cap_mode": current.mode}
    form = CapForm(request.POST or None, currency=found.plan.currency, initial=initial)
    if form.is_valid() and _cap_set(request, found, form):
        return redirect("catalog:subscription", found.pk)
    context = {"subscription": found, "form": form, "cap": current}
    return render(request, "billing/spend_cap.html", context)


def _cap_set(request: PersonRequest, found: Any, form: CapForm) -> bool:
    terms, now = form.terms(), timezone.now()
    try:
        if terms is None:
            spend_caps.remove(found, by=request.actor, at=now)
        else:
            spend_caps.put(found, terms=terms, by=request.actor, at=now)
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(
                one.field if one.field in form.fields else None,
                f"{one.message[:1].upper()}{one.message[1:]}.",
            )
        return False
    messages.success(request, "The spend cap is set." if terms else "There is no spend cap any more.")
    return True


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def thresholds(request: PersonRequest, subscription_id: UUID) -> HttpResponse:
    """Show and set at which amounts a subscription is billed before the month's end; for the marketplace's finance."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(queries.visible_subscriptions(request.actor), pk=subscription_id)
    if found.plan is None:
        return redirect("catalog:subscription", found.pk)
    currency = found.plan.currency
    present = "\n".join(f"{from_minor(one, currency):f}" for one in progressive.thresholds_of(found))
    form = ThresholdsForm(request.POST or None, currency=currency, initial={"amounts": present})
    if form.is_valid():
        progressive.set_thresholds(
            found, amounts_minor=form.cleaned_data["amounts"], by=request.actor, at=timezone.now()
        )
        messages.success(request, "Saved.")
        return redirect("catalog:subscription", found.pk)
    return render(request, "billing/thresholds.html", {"subscription": found, "form": form})
