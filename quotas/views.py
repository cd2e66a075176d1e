"""Pages of limits: the meters of one owner, all limits somebody answers for, setting and ending one."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import InvalidInput
from quotas import explaining, history, queries, words
from quotas import limits as domain
from quotas.forms import FilterForm, LimitForm, WhyForm
from quotas.history import Step
from quotas.increase_rights import may_request
from quotas.limits import Right
from quotas.owners import Owner, find_owner, owner_of_limit, visible_limits
from quotas.queries import LimitStanding

PAGE_SIZE = 50
COMMON_ZONES = (
    "UTC", "America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York", "America/Sao_Paulo",
    "Europe/London", "Europe/Berlin", "Europe/Helsinki", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore",
    "Asia/Tokyo", "Australia/Sydney",
)  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """A limit as its bar shows it. ``binding`` is a limit elsewhere in the chain that refuses before this one."""

    one: LimitStanding
    title: str
    hint: str
    origin: str = ""
    binding: LimitStanding | None = None
    can_end: bool = False
    can_ask: bool = False


@dataclass(frozen=True)
class LinkMeter:
    """A limit in a chain that is explained."""

    one: LimitStanding
    title: str
    is_tightest: bool


@dataclass(frozen=True)
class HistoryLine:
    """A change of a limit as its line says it."""

    title: str
    said: str
    step: Step


@login_required
@require_safe
@vary_on_headers("HX-Request")
def limits_of(request: PersonRequest, owner_kind: str, owner_id: str) -> HttpResponse:
    """Show the limits of one owner as meters; a fragment that renews itself, or a page of its own."""
    owner = find_owner(request.actor, owner_kind, owner_id)
    now = timezone.now()
    effective = queries.effective(owner, at=now)
    own = queries.limits_of(owner.kind, owner.pk, at=now)
    right = domain.right_of(request.actor, owner)
    can_ask = may_request(request.actor, owner=owner)
    meters = [_meter(request, one, effective.get(one.key), right, can_ask) for one in own]
    elsewhere = [one for key, one in effective.items() if key not in {own_one.key for own_one in own}]
    context = {
        "owner": owner,
        "meters": meters,
        "elsewhere": [_meter(request, one, None, Right.NONE) for one in elsewhere],
        "can_set": right is not Right.NONE,
    }
    is_fragment = request.htmx and not request.htmx.boosted
    if is_fragment:
        return render(request, "quotas/_limits.html", context)
    context["steps"] = [_step(one) for one in history.of_owner(owner)]
    return render(request, "quotas/owner.html", context)


@login_required
@require_safe
def why(request: PersonRequest, owner_kind: str, owner_id: str) -> HttpResponse:
    """Explain which limits a call of this owner meets, which one binds now and which would next."""
    owner = find_owner(request.actor, owner_kind, owner_id)
    now, form = timezone.now(), WhyForm(request.GET)
    found = explaining.explain(owner, **form.asked(), at=now)
    links = [
        (link.owner, [_link_meter(one, is_tightest=one.limit.pk in link.binding) for one in link.limits])
        for link in found.links
    ]
    return render(request, "quotas/why.html", {"owner": owner, "form": form, "found": found, "links": links})


@login_required
@require_safe
def all_limits(request: PersonRequest) -> HttpResponse:
    """List the limits of everything the person may see, the fullest first."""
    now = timezone.now()
    form = FilterForm(request.GET)
    found = queries.with_counters(visible_limits(request.actor), at=now).filter(**form.lookups())
    page = Paginator(found.order_by("-taken_share", "pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [Meter(one, words.title(one.limit), words.hint(one, at=now)) for one in _standings(page, now)]
    context = {"form": form, "page": page, "rows": rows, "is_filtered": bool(form.lookups())}
    return render(request, "quotas/limits.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_limit(request: PersonRequest, owner_kind: str, owner_id: str) -> HttpResponse:
    """Show the form for a limit of this owner; a POST sets it."""
    owner = find_owner(request.actor, owner_kind, owner_id)
    right = domain.right_of(request.actor, owner)
    access.require(right is not Right.NONE, message="These limits are not yours to set.")
    form = LimitForm(request.POST or None)
    if form.is_valid() and _is_set(request, owner, form):
        from_when = f"from {form.starts_at:%-d %B %Y}" if form.starts_at else "from now"
        messages.success(request, f"The limit holds {from_when} on.")
        return redirect("quotas:limits", owner.kind, owner.pk)
    context = {
        "owner": owner,
        "form": form,
        "currency": settings.CURRENCY,
        "right": right.value,
        "zones": COMMON_ZONES,
    }
    return render(request, "quotas/set_limit.html", context)


@login_required
@require_POST
def end_limit(request: PersonRequest, limit_id: int) -> HttpResponse:
    """End a limit now."""
    limit = access.get(visible_limits(request.actor), pk=limit_id)
    owner = find_owner(request.actor, limit.owner_kind, str(owner_of_limit(limit).pk))
    domain.end_limit(limit, owner=owner, by=request.actor, at=timezone.now())
    messages.success(request, f"The limit of {owner.label} on {words.title(limit).lower()} has ended.")
    return redirect("quotas:limits", owner.kind, owner.pk)


def _is_set(request: PersonRequest, owner: Owner, form: LimitForm) -> bool:
    """Set the limit; what the domain finds wrong goes to its field."""
    try:
        domain.set_limit(
            owner,
            terms=form.terms(currency=settings.CURRENCY),
            starts_at=form.starts_at,
            ends_at=form.ends_at,
            note=form.cleaned_data["note"],
            by=request.actor,
            at=timezone.now(),
        )
    except InvalidInput as error:
        for one in error.errors:
            field = {"ends_at": "last_day", "starts_at": "first_day"}.get(one.field, one.field)
            form.add_error(field if field in form.fields else None, one.message)
        return False
    return True


def _meter(
    request: PersonRequest,
    one: LimitStanding,
    tightest: LimitStanding | None,
    right: Right,
    can_ask: bool = False,
) -> Meter:
    is_own = one.limit.created_by_id == request.actor.user.pk
    may_end = right is Right.SET or (right is Right.TIGHTEN and is_own)
    is_bound = tightest is not None and tightest.owner.pk != one.owner.pk
    return Meter(
        one=one,
        title=words.title(one.limit),
        hint=words.hint(one, at=timezone.now()),
        origin=words.origin(one.limit),
        binding=tightest if is_bound else None,
        can_end=may_end and not one.limit.is_default and not one.limit.is_brake,
        can_ask=can_ask,
    )


def _link_meter(one: LimitStanding, *, is_tightest: bool) -> LinkMeter:
    return LinkMeter(one, words.title(one.limit), is_tightest)


def _step(one: Step) -> HistoryLine:
    changes = [
        f"{words.FIELDS[name]}: {words.fact(old)} → {words.fact(new)}" for name, old, new in one.changed
    ]
    said = "; ".join(changes) or words.terms(one.limit, one.new)
    return HistoryLine(f"{one.verb}: {words.title(one.limit).lower()}", said, one)


def _standings(limits: Any, at: Any) -> list[LimitStanding]:
    return [queries.standing(limit, at=at) for limit in limits]
