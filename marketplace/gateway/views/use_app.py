"""Using an app by its form: what it asks for, who pays, and the run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import kept_runs, prompts, queries
from marketplace.catalog.forms.run_form import RunForm
from marketplace.catalog.inputs import inputs_asked
from marketplace.catalog.models import Listing
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.ids import uuid7
from marketplace.gateway import person_runs
from marketplace.gateway.person_runs import Payer

SHOWN_RUNS = 5


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def use_app(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the form of an app; a POST runs it once and leads to what came back."""
    listing = queries.listing_for(request.actor, slug=slug)
    version, payers = listing.version, person_runs.payers(request.actor, listing.app)
    inputs = inputs_asked(version.input_schema)
    files = (request.POST, request.FILES) if request.method == "POST" else ()
    form = RunForm(*files, inputs=inputs, initial=_initial(request, listing))
    if payers and inputs and form.is_valid() and _is_accepted(form, version.input_schema):
        return _run(request, listing, form, person_runs.chosen_payer(payers, request.POST.get("payer", "")))
    own = kept_runs.own(request.actor, at=timezone.now()).filter(app=listing.app)
    context = {
        "listing": listing,
        "app": listing.app,
        "version": version,
        "form": form,
        "payers": payers,
        "chosen": request.POST.get("payer") or (payers[0].value if payers else ""),
        "run_id": _run_id(request.POST) or uuid7(),
        "runs": list(own[:SHOWN_RUNS]),
        "has_inputs": bool(inputs),
        "keep_days": settings.RUN_RETENTION_DAYS,
    }
    return render(request, "gateway/use_app.html", context)


@login_required
@require_POST
def rate(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Say whether the answer of one of the person's runs was good."""
    now = timezone.now()
    run = access.get(kept_runs.own(request.actor, at=now), pk=run_id)
    try:
        person_runs.rate(run, rating=request.POST.get("rating", ""), by=request.actor.user, at=now)
        messages.success(request, "Thank you. The app's routing learns from it.")
    except NotFound:
        messages.error(request, "The call of this run is not recorded any more.")
    return redirect("catalog:run", run_id)


def _run(request: PersonRequest, listing: Listing, form: RunForm, payer: Payer) -> HttpResponse:
    now = timezone.now()
    subscription = person_runs.subscription_of(
        payer, listing.app, actor=request.actor, at=now, credit=settings.SANDBOX_CREDIT
    )
    run, is_new = kept_runs.begin(
        _run_id(request.POST) or uuid7(),
        subscription=subscription,
        version=listing.version,
        data=form.given(),
        by=request.actor.user,
        at=now,
        keep_days=settings.RUN_RETENTION_DAYS,
    )
    if is_new:
        person_runs.make(run)
    return redirect("catalog:run", run.pk)


def _is_accepted(form: RunForm, schema: Mapping[str, Any]) -> bool:
    """Check the input as the call will, and put what is refused at its field."""
    try:
        prompts.validate_input(schema, form.given())
    except InvalidInput as error:
        for one in error.errors:
            name = f"input.{one.field}"
            form.add_error(name if name in form.fields else None, one.message)
        return False
    return True


def _initial(request: PersonRequest, listing: Listing) -> dict[str, Any]:
    """Fill the form in from an earlier run of the person when they ask for it, else from the example."""
    data: Mapping[str, Any] = listing.version.example_input or {}
    if wanted := request.GET.get("from"):
        own = kept_runs.own(request.actor, at=timezone.now()).filter(app=listing.app)
        data = access.get(own, pk=wanted).data
    return {f"input.{name}": value for name, value in data.items()}


def _run_id(form: Mapping[str, str]) -> UUID | None:
    try:
        return UUID(form.get("run_id", ""))
    except ValueError:
        return None
