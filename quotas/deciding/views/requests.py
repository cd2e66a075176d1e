"""The page of a decision: all that it needs, and the buttons that decide."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.models import User
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import to_text
from quotas import deputies, desk_notes, evidence, increase_rights, judgments
from quotas.deciding import request_pages
from quotas.deciding.forms import DecisionForm, PassOnForm
from quotas.deciding.refusals import tell
from quotas.deputies import Hat
from quotas.increase_models import IncreaseDecision, IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED

NAMES = {"starts_at": "first_day", "ends_at": "last_day", "question": "reason"}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show a request with everything a decision needs; a POST decides. ``?granted=`` shows the consequences of another value."""
    now = timezone.now()
    given = deputies.hats(request.actor, at=now)
    asked = _find(given, request_id)
    if not deputies.may_look(asked, given=given):
        return redirect("quotas:increase", asked.pk)
    form = DecisionForm(request.POST or None, initial=_initial(asked, request, at=now))
    if request.method == "POST" and form.is_valid():
        if _is_decided(request, asked, form, at=now):
            return redirect("quotas:desk")
        # What somebody else decided meanwhile is what the page shows.
        asked = _find(given, request_id)
    return _page(request, asked, form, given=given, at=now)


@login_required
@require_safe
def looking(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Note that somebody has the page open, and say who else has; asked for every ten seconds."""
    now = timezone.now()
    given = deputies.hats(request.actor, at=now)
    asked = _find(given, request_id)
    access.require(deputies.may_look(asked, given=given), message="This is for those who decide.")
    others = desk_notes.look(asked, by=request.user, at=now)
    return render(request, "quotas/deciding/_looking.html", {"lookers": others, "request_": asked})


@login_required
@require_POST
def pass_on(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Give a request to somebody else who may decide it."""
    now = timezone.now()
    asked = _find(deputies.hats(request.actor, at=now), request_id)
    deputies.hat_for(asked, actor=request.actor, at=now)
    form = PassOnForm(request.POST, people=_people(asked, at=now))
    if not form.is_valid():
        messages.error(request, "Choose somebody who may decide it.")
        return redirect("quotas:increase-decide", asked.pk)
    person = form.cleaned_data["person"]
    path = reverse("quotas:increase-decide", args=[asked.pk])
    desk_notes.assign(asked, to=person, by=request.user, at=now, path=path, note=form.cleaned_data["note"])
    messages.success(request, f"It is with {person} now.")
    return redirect("quotas:desk")


def _find(given: list[Hat], request_id: UUID) -> IncreaseRequest:
    """Return a request the person may see: by their own right, or that of somebody they decide for."""
    decisions = IncreaseDecision.objects.select_related("decider", "acting_for").order_by("pk")
    found = deputies.visible_to(given).select_related(
        *RELATED, "requester", "charged_cost_center", "mark__assignee"
    )
    return access.get(found.prefetch_related(Prefetch("decisions", decisions)), pk=request_id)


def _page(
    request: PersonRequest, asked: IncreaseRequest, form: DecisionForm, *, given: list[Hat], at: datetime
) -> HttpResponse:
    hat, refusal = _right(request, asked, at=at)
    visible = deputies.visible_to(given)
    granted = request_pages.value_thought_of(asked, request.GET.get("granted", ""))
    kept = None if asked.is_open else evidence.as_decided(asked, visible=visible, at=at)
    shown = kept or evidence.evidence(asked, granted=granted, visible=visible, at=at)
    context: dict[str, Any] = {
        "asked": asked,
        "owner": subject_of(asked).owner,
        "form": form,
        "evidence": shown,
        "kept": kept,
        "chart": request_pages.usage_chart(shown.projection, granted=shown.granted),
        "similar": [(one, subject_of(one).owner.label) for one in evidence.similar(asked, visible=visible)],
        "history": request_pages.history(asked),
        "may_decide": hat is not None,
        "acting_for": hat.acting_for.user if hat and hat.acting_for else None,
        "refusal": refusal,
        "is_own": asked.requester_id == request.user.pk,
        "sealed": evidence.seal(shown, request=asked, person=request.user) if hat else "",
        "pass_on": PassOnForm(people=_people(asked, at=at)) if hat else None,
        "mark": getattr(asked, "mark", None),
    }
    return render(request, "quotas/deciding/request.html", context)


def _right(
    request: PersonRequest, asked: IncreaseRequest, *, at: datetime
) -> tuple[Hat | None, NotAllowed | None]:
    """Return the right with which the person may decide now, or why they may not."""
    if not asked.is_under_review:
        return None, None
    try:
        return deputies.hat_for(asked, actor=request.actor, at=at), None
    except NotAllowed as error:
        return None, error


def _initial(asked: IncreaseRequest, request: PersonRequest, *, at: datetime) -> dict[str, Any]:
    return {
        "granted": to_text(request_pages.value_thought_of(asked, request.GET.get("granted", ""))),
        "first_day": asked.starts_at.date() if asked.starts_at else None,
        "last_day": request_pages.usual_last_day(asked, at=at),
    }


def _is_decided(request: PersonRequest, asked: IncreaseRequest, form: DecisionForm, *, at: datetime) -> bool:
    """Do what the button says, on the level that the page showed; what the domain refuses goes to the form."""
    typed = form.cleaned_data
    snapshot = evidence.unseal(typed["shown"], request=asked, person=request.user)
    act: dict[str, Any] = {"by": request.actor, "at": at, "snapshot": snapshot, "level": typed["level"]}
    try:
        if typed["decision"] == "approve":
            offer = request_pages.offer_of(
                typed["granted"],
                starts_at=form.starts_at,
                ends_at=form.ends_at,
                is_endless=typed["is_endless"],
            )
            judgments.approve(asked, offer=offer, reason=typed["reason"], **act)
        elif typed["decision"] == "deny":
            judgments.deny(asked, reason=typed["reason"], **act)
        else:
            judgments.ask(asked, question=typed["reason"], **act)
    except (InvalidInput, Conflict, NotAllowed) as error:
        tell(form, error, names=NAMES)
        return False
    messages.success(request, _said(asked, typed["decision"]))
    return True


def _said(asked: IncreaseRequest, decision: str) -> str:
    label = subject_of(asked).owner.label
    if decision == "ask":
        return f"{asked.requester} is asked; the clock stands still until the answer."
    if decision == "deny":
        return f"Denied, and {asked.requester} is told why."
    if asked.state == "capacity_review":
        return f"The cost of {label} is approved. Its capacity is looked at next."
    return f"Granted for {label}. It holds from its first call on."


def _people(asked: IncreaseRequest, *, at: datetime) -> Any:
    people = increase_rights.deciders(asked, level=asked.state if asked.is_under_review else "cost_review")
    deputies_too = deputies.deputies_of(people, level=asked.state, at=at).exclude(pk=asked.requester_id)
    either = User.objects.filter(pk__in=people.values("pk")) | User.objects.filter(
        pk__in=deputies_too.values("pk")
    )
    return either.distinct().order_by("first_name", "last_name", "email")
