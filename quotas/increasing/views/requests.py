"""Pages of increase requests: a list, asking for more, and one request with what became of it."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from quotas import grants, increase_decisions, increases
from quotas.increase_assessing import Assessment, assess
from quotas.increase_models import OPEN, IncreaseRequest
from quotas.increase_rights import decidable, may_request, visible_requests
from quotas.increase_subjects import Subject, standing, subject_of
from quotas.increasing import pages, words
from quotas.increasing.forms import ExtensionForm, RequestFilterForm, TextForm, WishForm
from quotas.models import Limit
from quotas.owners import find_owner

PAGE_SIZE = 25
NAMES_OF_FIELDS = {
    "projection.monthly_calls": "monthly_calls",
    "projection.monthly_cost": "monthly_cost",
    "starts_at": "first_day",
    "ends_at": "last_day",
}
DONE = {
    "withdraw": "The request is taken back.",
    "answer": "Your answer was sent. The review goes on.",
    "revoke": "The grant is revoked. The limit is as before.",
    "submit": "The request is submitted.",
}


@login_required
@require_safe
def increases_list(request: PersonRequest) -> HttpResponse:
    """List the requests that the person may see, the newest first."""
    form = RequestFilterForm(request.GET)
    found = _wanted(request, form).select_related("grant").order_by("-pk")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [pages.row(one) for one in page],
        "is_filtered": any(request.GET.get(name) for name in ("whose", "state")),
        "is_platform": request.actor.is_platform(*access.PLATFORM_ROLES),
    }
    return render(request, "quotas/increases/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: PersonRequest, owner_kind: str, owner_id: str, measure: str, window: str) -> HttpResponse:
    """Show the form for more of a limit, filled with a quarter more; a POST looks what it means, keeps or submits it."""
    owner = find_owner(request.actor, owner_kind, owner_id)
    access.require(may_request(request.actor, owner=owner), message="More of this is not yours to ask for.")
    if measure not in Limit.Measure.values or window not in Limit.Window.values:
        raise InvalidInput("measure", "There is no such limit.")
    model_class = request.GET.get("model_class", "")[:10].replace("\0", "")
    subject, now = Subject(owner, measure, window, model_class), timezone.now()
    current = standing(subject, at=now)
    initial = WishForm.starting_from(current=current.value, measure=measure, at=now)
    form = WishForm(request.POST or None, initial=initial)
    made = None
    if form.is_valid() and request.POST.get("act") in ("keep", "submit"):
        made = _make(request, subject, form, at=now)
    if made is not None:
        _say_what_became(request, made)
        return redirect("quotas:increase", made.pk)
    return _form_page(request, subject, form, draft=None, at=now)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show a draft in the form; a POST looks what it means, keeps or submits it."""
    own = visible_requests(request.actor).filter(requester=request.user, state=IncreaseRequest.State.DRAFT)
    draft = access.get(own, pk=request_id)
    subject, now = subject_of(draft), timezone.now()
    form = WishForm(request.POST or None, initial=WishForm.filled_from(draft))
    if (
        form.is_valid()
        and request.POST.get("act") in ("keep", "submit")
        and _kept(request, draft, form, at=now)
    ):
        _say_what_became(request, draft)
        return redirect("quotas:increase", draft.pk)
    return _form_page(request, subject, form, draft=draft, at=now)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def increase(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show a request with what became of it; a POST takes it back, answers, extends or revokes its grant."""
    found = access.get(visible_requests(request.actor).select_related("grant__request"), pk=request_id)
    form: Form = TextForm()
    extension = ExtensionForm()
    if request.method == "POST":
        act = request.POST.get("act", "")
        form = extension = ExtensionForm(request.POST) if act == "extend" else TextForm(request.POST)  # type: ignore[assignment]
        if form.is_valid() and (done := _done(request, found, form, act=act)):
            return redirect("quotas:increase", done.pk)
        if act != "extend":
            extension = ExtensionForm()
        found = access.get(visible_requests(request.actor).select_related("grant__request"), pk=request_id)
    detail = pages.detail(found, actor=request.actor, at=timezone.now())
    context = {"detail": detail, "asked": found, "row": detail.row, "form": form, "extension": extension}
    return render(request, "quotas/increases/request.html", context)


def _wanted(request: PersonRequest, form: RequestFilterForm) -> QuerySet[IncreaseRequest]:
    form.is_valid()
    whose, state = form.cleaned_data.get("whose"), form.cleaned_data.get("state")
    found = decidable(request.actor) if whose == "waiting" else visible_requests(request.actor)
    if whose == "mine":
        found = found.filter(requester=request.user)
    if state:
        found = found.filter(state__in=OPEN) if state == "open" else found.filter(state=state)
    return found


def _form_page(
    request: PersonRequest, subject: Subject, form: WishForm, *, draft: IncreaseRequest | None, at: datetime
) -> HttpResponse:
    """Show the form, with what it would mean once it is filled in."""
    current = standing(subject, at=at)
    found = _assessed(subject, form, at=at) if request.method == "POST" and form.is_valid() else None
    wanted = form.cleaned_data.get("requested") if found else current.value
    context = {
        "owner": subject.owner,
        "subject": subject,
        "title": words.title_of(subject),
        "current": words.amount(current.value, measure=subject.measure, currency=settings.CURRENCY),
        "form": form,
        "draft": draft,
        "currency": settings.CURRENCY,
        "unit": settings.CURRENCY if subject.measure == "cost" else "",
        "chance": pages.chance_of(found) if found else None,
        "tighter": pages.tighter_elsewhere(subject, requested=wanted or current.value, at=at),
    }
    return render(request, "quotas/increases/ask.html", context)


def _assessed(subject: Subject, form: WishForm, *, at: datetime) -> Assessment | None:
    """Look what the form's wish would mean; what the domain refuses goes to its field."""
    try:
        return assess(subject, wish=form.wish(subject, currency=settings.CURRENCY), at=at)
    except HalfpennyError as error:
        _tell_refusal(form, error)
    return None


def _make(
    request: PersonRequest, subject: Subject, form: WishForm, *, at: datetime
) -> IncreaseRequest | None:
    """Keep or submit what the form says; what the domain refuses goes to its field."""
    wish = form.wish(subject, currency=settings.CURRENCY)
    try:
        if request.POST["act"] == "keep":
            return increases.draft(subject.owner, wish=wish, by=request.actor, at=at)
        return increases.create(subject.owner, wish=wish, by=request.actor, at=at).request
    except HalfpennyError as error:
        _tell_refusal(form, error)
    return None


def _kept(request: PersonRequest, draft: IncreaseRequest, form: WishForm, *, at: datetime) -> bool:
    """Change a draft, and submit it when that button was pressed."""
    wish = form.wish(subject_of(draft), currency=settings.CURRENCY, extends=draft.extends)
    try:
        increases.edit(draft, wish=wish, by=request.actor, at=at)
        if request.POST["act"] == "submit":
            increases.submit(draft, by=request.actor, at=at)
    except HalfpennyError as error:
        _tell_refusal(form, error)
        return False
    return True


def _done(request: PersonRequest, found: IncreaseRequest, form: Form, *, act: str) -> IncreaseRequest | None:
    """Do what the pressed button says; returns the request to show next, None when it was refused."""
    by, at = request.actor, timezone.now()
    text = form.cleaned_data.get("text", "")
    try:
        if act == "extend":
            return _extended(request, found, form, at=at)
        if act == "withdraw":
            increases.withdraw(found, by=by, at=at, reason=text)
        elif act == "answer":
            increase_decisions.answer(found, text=text, by=by, at=at)
        elif act == "submit":
            increases.submit(found, by=by, at=at)
        elif act == "revoke":
            grants.revoke(found.grant, by=by, at=at, reason=text)
        else:
            raise InvalidInput("", "There is no such button.")
    except (InvalidInput, Conflict, IncreaseRequest.grant.RelatedObjectDoesNotExist) as error:
        _tell_refusal(
            form, error if isinstance(error, HalfpennyError) else InvalidInput("", "Nothing was granted.")
        )
        return None
    messages.success(request, DONE[act])
    return found


def _extended(request: PersonRequest, found: IncreaseRequest, form: Form, *, at: datetime) -> IncreaseRequest:
    assert isinstance(form, ExtensionForm)
    wish = increases.extension_of(
        found.grant, ends_at=form.ends_at, reason=form.cleaned_data["reason"], at=at
    )
    made = increases.create(subject_of(found).owner, wish=wish, by=request.actor, at=at).request
    _say_what_became(request, made)
    return made


def _say_what_became(request: PersonRequest, made: IncreaseRequest) -> None:
    if made.state == IncreaseRequest.State.AUTO_APPROVED:
        is_lower = made.is_decrease
        messages.success(
            request, "The limit is lowered." if is_lower else "Granted: it was within the policy."
        )
    elif made.state == IncreaseRequest.State.DRAFT:
        messages.success(request, "The draft is kept. Only you see it.")
    else:
        messages.success(request, "The request is submitted. You are told when it is decided.")


def _tell_refusal(form: Form, error: HalfpennyError) -> None:
    if not isinstance(error, InvalidInput):
        form.add_error(None, error.message)
        return
    for one in error.errors:
        field = NAMES_OF_FIELDS.get(one.field, one.field)
        field = "text" if field in ("reason", "question") and "text" in form.fields else field
        form.add_error(field if field in form.fields else None, one.message)
