"""Pages that correct an event: amending it, taking it back."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from metering.corrected import Standing, corrections_of, find_event, may_correct, standing
from metering.corrections import WHO_MAY, Change, Preview, preview
from metering.models import UsageEvent
from quotas import corrections
from quotas.correcting.forms import LABELS, AmendForm, ReasonForm


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def amend(request: PersonRequest, slug: str, event_id: str) -> HttpResponse:
    """Show what an event counts as, to be changed; a POST previews the difference, or makes it."""
    event = _event(request, slug, event_id)
    now = standing(event)
    form = AmendForm(request.POST or None, standing=now)
    shown = None
    if "preview" in request.POST:
        shown = _previewed(request, event, form) if form.is_valid() else None
    elif form.is_valid() and _is_amended(request, event, form):
        messages.success(request, "The event is amended.")
        return redirect("metering:event", slug, event_id)
    context = {"form": form, "preview": shown, **_shown(event, now)}
    return render(request, "quotas/amend_event.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def void(request: PersonRequest, slug: str, event_id: str) -> HttpResponse:
    """Show what would be taken back; a POST does it."""
    event = _event(request, slug, event_id)
    now = standing(event)
    form = ReasonForm(request.POST or None)
    if form.is_valid() and _is_void(request, event, form):
        messages.success(request, "The event is taken back.")
        return redirect("metering:event", slug, event_id)
    context = {"form": form, "preview": _what_void_does(request, event), **_shown(event, now)}
    return render(request, "quotas/void_event.html", context)


def _event(request: PersonRequest, slug: str, event_id: str) -> UsageEvent:
    event = find_event(request.actor, slug=slug, event_id=event_id)
    access.require(may_correct(request.actor, event.attribution), message=WHO_MAY)
    return event


def _previewed(request: PersonRequest, event: UsageEvent, form: AmendForm) -> Preview | None:
    try:
        return preview(event, change=form.change(), by=request.actor)
    except HalfpennyError as error:
        _tell(form, error)
    return None


def _what_void_does(request: PersonRequest, event: UsageEvent) -> Preview:
    return preview(event, change=None, by=request.actor)


def _is_amended(request: PersonRequest, event: UsageEvent, form: AmendForm) -> bool:
    return _done(request, event, form, change=form.change())


def _is_void(request: PersonRequest, event: UsageEvent, form: ReasonForm) -> bool:
    return _done(request, event, form, change=None)


def _done(request: PersonRequest, event: UsageEvent, form: ReasonForm, *, change: Change | None) -> bool:
    """Correct the event; what the domain refuses goes to the form."""
    said: dict[str, Any] = {
        "reason": form.cleaned_data["reason"],
        "by": request.actor,
        "at": timezone.now(),
    }
    try:
        if change is None:
            corrections.void(event, **said)
        else:
            corrections.amend(event, change=change, **said)
    except (InvalidInput, Conflict) as error:
        _tell(form, error)
        return False
    return True


def _tell(form: ReasonForm, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)


def _shown(event: UsageEvent, now: Standing) -> dict[str, Any]:
    return {
        "event": event,
        "standing": now,
        "corrections": [
            (one, _in_words(one.quantities)) for one in corrections_of(event.app_id, event.event_id)
        ],
    }


def _in_words(quantities: Any) -> str:
    """Say what was added, such as "Input tokens -240"."""
    added = {label: getattr(quantities, name) for name, label in LABELS.items()}
    return ", ".join(f"{label} {count:+,}" for label, count in added.items() if count)
