"""The page that a link in a mail opens: it asks, and only a button decides."""

from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.access import actor_for
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from quotas import decision_links, deputies, evidence, judgments
from quotas.deciding.refusals import tell
from quotas.deciding.request_pages import usual_end, value_thought_of
from quotas.decision_links import Link
from quotas.increase_decisions import Offer
from quotas.increase_subjects import subject_of


class ConfirmForm(forms.Form):
    """The two answers that a mail allows; everything else is on the page of the decision."""

    decision = forms.ChoiceField(choices=[("approve", "Approve"), ("deny", "Deny")], widget=forms.HiddenInput)
    shown = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(label="Reason", max_length=2000, required=False, help_text="Needed to deny.")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def by_mail(request: HttpRequest, token: str) -> HttpResponse:
    """Show what a mail asks about, without signing in; a POST decides as the person the mail went to."""
    now = timezone.now()
    link = decision_links.by_token(token)
    access.require(
        not request.user.is_authenticated or request.user == link.person,
        message=f"This link is for {link.person}. Sign out, or decide on the page of the request.",
    )
    form = ConfirmForm(request.POST or None)
    if request.method == "POST" and link.is_open and form.is_valid() and _is_decided(link, form, at=now):
        link.request.refresh_from_db(fields=["state"])
        return render(request, "quotas/deciding/by_mail.html", _context(link, form, at=now, is_done=True))
    return render(request, "quotas/deciding/by_mail.html", _context(link, form, at=now, is_done=False))


def _is_decided(link: Link, form: ConfirmForm, *, at: datetime) -> bool:
    typed, asked = form.cleaned_data, link.request
    snapshot = evidence.unseal(typed["shown"], request=asked, person=link.person)
    act: dict[str, Any] = {
        "by": actor_for(link.person),
        "at": at,
        "snapshot": snapshot,
        "level": link.level,
    }
    try:
        if typed["decision"] == "approve":
            offer = Offer(ends_at=usual_end(asked, at=at))
            judgments.approve(asked, offer=offer, reason=typed["reason"], **act)
        else:
            judgments.deny(asked, reason=typed["reason"], **act)
    except (InvalidInput, Conflict, NotAllowed) as error:
        tell(form, error)
        return False
    return True


def _context(link: Link, form: ConfirmForm, *, at: datetime, is_done: bool) -> dict[str, Any]:
    asked = link.request
    refusal = None
    try:
        deputies.hat_for(asked, actor=actor_for(link.person), at=at, level=link.level)
    except NotAllowed as error:
        refusal = error.message
    may_decide = link.is_open and not is_done and refusal is None
    shown = None
    if may_decide:
        visible = deputies.visible_to(deputies.hats(actor_for(link.person), at=at))
        shown = evidence.evidence(asked, granted=value_thought_of(asked, ""), visible=visible, at=at)
    return {
        "asked": asked,
        "owner": subject_of(asked).owner,
        "person": link.person,
        "form": form,
        "may_decide": may_decide,
        "refusal": refusal if link.is_open else "",
        "is_done": is_done,
        "ends_at": usual_end(asked, at=at),
        "evidence": shown,
        "sealed": evidence.seal(shown, request=asked, person=link.person) if shown else "",
        "last": asked.decisions.select_related("decider", "acting_for").order_by("-pk").first(),
    }
