"""Pages of runs in the background: a person's, and all of them for operators."""

import json
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.models import Subscription
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making, queries

PAGE_SIZE = 50


class RunFilter(forms.Form):
    """Which runs a list shows."""

    state = forms.ChoiceField(
        required=False, label="State", choices=[("", "All states"), *AsyncRun.State.choices]
    )

    def lookups(self) -> dict[str, str]:
        """Return the filter as lookups; what is not understood filters nothing."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


@login_required
@require_safe
def async_runs(request: PersonRequest) -> HttpResponse:
    """List the runs of a person's teams."""
    form = RunFilter(request.GET)
    found = queries.visible(request.actor, at=timezone.now()).filter(**form.lookups())
    return render(request, "gateway/async_runs/async_runs.html", _listed(request, form, found))


@login_required
@require_safe
def all_runs(request: PersonRequest) -> HttpResponse:
    """List all runs, for operators."""
    found = queries.everything(request.actor)
    form = RunFilter(request.GET)
    context = _listed(request, form, found.filter(**form.lookups()))
    context["waiting"] = found.filter(state__in=AsyncRun.OPEN).count()
    return render(request, "gateway/async_runs/all_runs.html", context)


def _listed(request: PersonRequest, form: RunFilter, found: QuerySet[AsyncRun]) -> dict[str, object]:
    return {
        "form": form,
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "is_filtered": bool(form.lookups()),
        "keep_days": settings.RUN_RETENTION_DAYS,
    }


@login_required
@require_safe
def async_run(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Show one run: its state, what it was given, what came back and what it cost."""
    found = access.get(queries.visible(request.actor, at=timezone.now()), pk=run_id)
    active = found.subscription.state == Subscription.State.ACTIVE
    context = {
        "run": found,
        "app": found.subscription.app,
        "given": list(found.data.items()) if isinstance(found.data, dict) else [],
        "text": _text(found.output),
        "can_repeat": active and not found.is_open,
    }
    template = (
        "gateway/async_runs/_run.html"
        if request.htmx and not request.htmx.boosted
        else "gateway/async_runs/async_run.html"
    )
    return render(request, template, context)


def _text(output: object) -> str:
    return (
        output if isinstance(output, str) else json.dumps(output, indent=2, ensure_ascii=False, default=str)
    )


@login_required
@require_POST
def cancel(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Take a run back."""
    found = access.get(queries.visible(request.actor, at=timezone.now()), pk=run_id)
    making.cancel(found, at=timezone.now(), by=request.actor.user)
    messages.success(request, "The run is canceled.")
    return redirect("gateway:async-run", found.pk)


@login_required
@require_POST
def cancel_any(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Take any run back, as an operator."""
    found = access.get(queries.everything(request.actor), pk=run_id)
    making.cancel(found, at=timezone.now(), by=request.actor.user)
    messages.success(request, "The run is canceled.")
    return redirect("gateway:operator-async-runs")


@login_required
@require_POST
def again(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Ask once more for what a run was given."""
    found = access.get(queries.visible(request.actor, at=timezone.now()), pk=run_id)
    keep_days = settings.RUN_RETENTION_DAYS
    made = making.again(found, by=request.actor.user, keep_days=keep_days, at=timezone.now())
    messages.success(request, "It is asked for once more, and charged like any run.")
    return redirect("gateway:async-run", made.pk)
