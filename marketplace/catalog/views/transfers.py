"""Pages on which an app changes hands: its owner offers it, the other team takes it or not."""

from datetime import UTC, datetime, time

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import ownership
from marketplace.catalog.forms.transfers import AnswerForm, TransferForm
from marketplace.catalog.models import App
from marketplace.catalog.owning import AppTransfer
from marketplace.core.errors import Conflict, InvalidInput

State = AppTransfer.State


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def transfer(request: PersonRequest, slug: str) -> HttpResponse:
    """Show whose an app is, was and will be; a POST proposes a transfer, accepts, declines or withdraws it."""
    app = access.get(ownership.transferable_apps(request.actor), slug=slug)
    found = list(ownership.visible_transfers(request.actor).filter(app=app).order_by("-proposed_at")[:10])
    waiting = next((one for one in found if one.state == State.PROPOSED), None)
    form = TransferForm(
        request.POST or None if "team" in request.POST else None, teams=ownership.receivers(app)
    )
    answer = AnswerForm(request.POST or None if "decision" in request.POST else None)
    if request.method == "POST" and _done(request, app, waiting, form=form, answer=answer):
        return redirect("catalog:transfer", slug)
    now = timezone.now()
    can_propose = ownership.may_propose(app, actor=request.actor)
    context = {
        "app": app,
        "form": form,
        "answer": answer,
        "waiting": waiting,
        "past": [one for one in found if one.state != State.PROPOSED],
        "history": ownership.history(app),
        "coming": ownership.coming(app, at=now),
        "can_propose": can_propose,
        "may_decide": waiting is not None and ownership.may_decide(waiting, actor=request.actor),
    }
    return render(request, "catalog/transfer.html", context)


def _done(
    request: PersonRequest, app: App, waiting: AppTransfer | None, *, form: TransferForm, answer: AnswerForm
) -> bool:
    """Do what was posted; what the domain refuses goes to the form."""
    try:
        if "decision" in request.POST:
            return answer.is_valid() and _decided(request, waiting, answer)
        return form.is_valid() and _proposed(request, app, form)
    except InvalidInput as error:
        bound = answer if "decision" in request.POST else form
        for one in error.errors:
            bound.add_error(one.field if one.field in bound.fields else None, one.message)
    except Conflict as error:
        messages.error(request, error.message)
    return False


def _proposed(request: PersonRequest, app: App, form: TransferForm) -> bool:
    day = form.cleaned_data["starts_on"]
    starts_at = datetime.combine(day, time(), UTC) if day else None
    ownership.propose(
        app,
        to_team=form.cleaned_data["team"],
        starts_at=starts_at,
        reason=form.cleaned_data["reason"],
        by=request.actor,
        at=timezone.now(),
    )
    messages.success(request, "It is offered. The app moves once the other team accepts.")
    return True


def _decided(request: PersonRequest, waiting: AppTransfer | None, answer: AnswerForm) -> bool:
    note, now = answer.cleaned_data["note"], timezone.now()
    decision = request.POST["decision"]
    if waiting is None:
        raise Conflict("This transfer is decided already.")
    if decision == "accept":
        owned = ownership.accept(waiting, by=request.actor, at=now, note=note)
        messages.success(
            request, f"The app belongs to {owned.team} from {owned.starts_at:%Y-%m-%d %H:%M} UTC on."
        )
    elif decision == "decline":
        ownership.decline(waiting, by=request.actor, at=now, note=note)
        messages.success(request, "The transfer is declined.")
    elif decision == "withdraw":
        ownership.withdraw(waiting, by=request.actor, at=now)
        messages.success(request, "The transfer is taken back.")
    else:
        raise InvalidInput("", "Accept, decline or take back.")
    return True
