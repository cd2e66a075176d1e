"""Pages of what needs a second person: takedowns, appeals, prices that rise, looks afterwards."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import (
    appeals,
    auto_approvals,
    canned_reasons,
    price_changes,
    second_looks,
    subscribers,
    takedowns,
)
from marketplace.catalog.forms.review_forms import AppealForm, SecondLookForm, TakedownForm, end_of
from marketplace.catalog.models import App
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.price_words import price_text
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.catalog.version_models import PriceChange
from marketplace.catalog.views.reviews import require_approver, tabs
from marketplace.core.errors import Conflict, InvalidInput


@login_required
@require_safe
def waiting(request: PersonRequest) -> HttpResponse:
    """List what waits for a second person, and what runs towards its date."""
    require_approver(request)
    context = {
        "waiting": second_looks.waiting(request.actor),
        "running": second_looks.running(request.actor),
        "tabs": tabs("second"),
    }
    return render(request, "catalog/second_looks.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def propose_takedown(request: PersonRequest, slug: str) -> HttpResponse:
    """Propose that a live app leaves the catalogue."""
    require_approver(request)
    app = access.get(_reviewed_apps(request), slug=slug)
    form = TakedownForm(request.POST or None, canned=canned_reasons.offered())
    if form.is_valid():
        reason, policy_url = canned_reasons.words(form.cleaned_data["canned"], form.cleaned_data["reason"])
        try:
            made = takedowns.propose(
                app,
                reason=reason,
                policy_url=policy_url,
                fix_by=end_of(form.cleaned_data["fix_by"]),
                by=request.actor,
                at=timezone.now(),
            )
        except InvalidInput as error:
            form.add_error(error.field, error.errors[0].message)
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect("catalog:second-looks")
        else:
            messages.success(request, "Proposed. A second person decides.")
            return redirect("catalog:takedown", made.pk)
    context = {"app": app, "form": form, "subscribers": subscribers.of_others(app).count()}
    return render(request, "catalog/propose_takedown.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def takedown(request: PersonRequest, takedown_id: UUID) -> HttpResponse:
    """Show a takedown; a POST decides it or takes it back."""
    found = access.get(takedowns.visible(request.actor), pk=takedown_id)
    acts = {
        "approve": lambda note: takedowns.approve(found, by=request.actor, at=timezone.now(), note=note),
        "reject": lambda note: takedowns.reject(found, by=request.actor, at=timezone.now(), note=note),
        "withdraw": lambda note: takedowns.withdraw(found, by=request.actor, at=timezone.now()),
    }
    form = SecondLookForm(request.POST or None)
    if form.is_valid() and _decided(request, form, acts):
        return redirect("catalog:takedown", found.pk)
    is_maker = found.app.owner_team_id in request.actor.teams_as(Role.CREATOR)
    context = {
        "takedown": found,
        "form": form,
        "appeal": Appeal.objects.filter(takedown=found).first(),
        "subscribers": subscribers.of_others(found.app).count(),
        "may_decide": takedowns.may_decide(found, actor=request.actor),
        "is_own": found.proposed_by_id == request.user.pk and found.state == Takedown.State.PROPOSED,
        "may_appeal": is_maker and found.state in ("pending", "done"),
        "is_approver": takedowns.is_approver(found.app, request.actor),
    }
    return render(request, "catalog/takedown.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def appeal_takedown(request: PersonRequest, takedown_id: UUID) -> HttpResponse:
    """Appeal against a takedown."""
    found = access.get(takedowns.visible(request.actor), pk=takedown_id)
    form = AppealForm(request.POST or None)
    if form.is_valid():
        try:
            made = appeals.of_takedown(
                found, text=form.cleaned_data["text"], by=request.actor, at=timezone.now()
            )
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect("catalog:takedown", found.pk)
        messages.success(request, "Appealed. Somebody who had no part in it decides.")
        return redirect("catalog:appeal", made.pk)
    access.require(
        found.app.owner_team_id in request.actor.teams_as(Role.CREATOR),
        message="This is for the app's makers.",
    )
    return render(request, "catalog/appeal_form.html", {"takedown": found, "version": found.version, "form": form})  # fmt: skip


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: PersonRequest, appeal_id: UUID) -> HttpResponse:
    """Show an appeal; a POST decides it or takes it back."""
    found = access.get(appeals.visible(request.actor), pk=appeal_id)
    acts = {
        "grant": lambda note: appeals.grant(found, by=request.actor, at=timezone.now(), note=note),
        "refuse": lambda note: appeals.refuse(found, by=request.actor, at=timezone.now(), note=note),
        "withdraw": lambda note: appeals.withdraw(found, by=request.actor, at=timezone.now()),
    }
    form = SecondLookForm(request.POST or None)
    if form.is_valid() and _decided(request, form, acts):
        return redirect("catalog:appeal", found.pk)
    is_open = found.state == Appeal.State.OPEN
    context = {
        "appeal": found,
        "form": form,
        "may_decide": appeals.may_decide(found, actor=request.actor),
        "is_approver": takedowns.is_approver(found.app, request.actor),
        "may_withdraw": is_open and found.app.owner_team_id in request.actor.teams_as(Role.CREATOR),
    }
    return render(request, "catalog/appeal.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def price_change(request: PersonRequest, change_id: UUID) -> HttpResponse:
    """Show another price for subscribers; a POST decides it, or calls it off."""
    found = access.get(price_changes.visible(request.actor), pk=change_id)
    acts = {
        "approve": lambda note: price_changes.approve(
            found,
            by=request.actor,
            at=timezone.now(),
            notice_days=settings.PRICE_NOTICE_DAYS,
            note=note,
        ),
        "reject": lambda note: price_changes.reject(found, by=request.actor, at=timezone.now(), note=note),
        "call_off": lambda note: price_changes.call_off(
            found, by=request.actor, at=timezone.now(), reason=note
        ),
    }
    form = SecondLookForm(request.POST or None)
    if form.is_valid() and _decided(request, form, acts):
        return redirect("catalog:price-change", found.pk)
    is_maker = found.app.owner_team_id in request.actor.teams_as(Role.CREATOR)
    context = {
        "change": found,
        "form": form,
        "old": price_text(terms_of(found.old_plan), currency=found.old_plan.currency),
        "new": price_text(terms_of(found.new_plan), currency=found.new_plan.currency),
        "old_terms": terms_of(found.old_plan),
        "new_terms": terms_of(found.new_plan),
        "subscribers": subscribers.of_others(found.app).count(),
        "notice_days": settings.PRICE_NOTICE_DAYS,
        "may_decide": price_changes.may_decide(found, actor=request.actor),
        "may_call_off": is_maker and found.state in (PriceChange.State.PROPOSED, PriceChange.State.ANNOUNCED),
        "is_approver": takedowns.is_approver(found.app, request.actor),
    }
    return render(request, "catalog/price_change.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def post_review(request: PersonRequest, look_id: UUID) -> HttpResponse:
    """Look at something that was approved by itself; a POST keeps what the person thinks."""
    found = access.get(auto_approvals.looks(request.actor), pk=look_id)

    def keep(note: str, *, would_approve: bool) -> None:
        auto_approvals.keep_look(
            found, would_approve=would_approve, note=note, by=request.actor, at=timezone.now()
        )

    acts = {"yes": partial(keep, would_approve=True), "no": partial(keep, would_approve=False)}
    form = SecondLookForm(request.POST or None)
    if form.is_valid() and _decided(request, form, acts):
        return redirect("catalog:post-review", found.pk)
    return render(request, "catalog/post_review.html", {"look": found, "review": found.review, "form": form})


def _decided(request: PersonRequest, form: SecondLookForm, acts: Mapping[str, Callable[[str], Any]]) -> bool:
    """Do what the button says; False when the form has to be shown again. A conflict is told, and the page says how it is."""
    act = acts.get(form.cleaned_data["decision"])
    if act is None:
        return False
    try:
        act(form.cleaned_data["note"])
    except InvalidInput as error:
        form.add_error("note", error.errors[0].message)
        return False
    except Conflict as error:
        messages.warning(request, error.message)
        return True
    messages.success(request, "Kept. Who has to know is told.")
    return True


def _reviewed_apps(request: PersonRequest) -> Any:
    apps = App.objects.select_related("owner_team__organization", "listing")
    if request.actor.is_platform(Role.APPROVER):
        return apps
    return apps.filter(owner_team__organization__in=request.actor.organizations_as(Role.APPROVER))
