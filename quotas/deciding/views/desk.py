"""The desk: everything that waits for a decision, and what is done with several of them at once."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role, actor_for
from marketplace.accounts.models import Membership, User
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import reviews, subscription_approvals
from marketplace.catalog.models import Review
from marketplace.core.errors import InvalidInput, NotAllowed
from quotas import bulk, desk_notes
from quotas import desk as domain
from quotas.deciding.forms import DeskForm
from quotas.deciding.tabs import tabs
from quotas.deputies import hat_for, hats
from quotas.desk import Item
from quotas.increase_models import IncreaseRequest

PAGE_SIZE = 50
MOST_AT_ONCE = 50
SNOOZES = {"tomorrow": 1, "three-days": 3, "week": 7}
KEYS = (
    ("j", "next row"),
    ("k", "row before"),
    ("x", "select or deselect the row"),
    ("a", "open it to approve: the button has the focus"),
    ("d", "open it to deny: the reason has the focus"),
    ("Enter", "open the row"),
    ("/", "search"),
    ("?", "this list"),
)


@login_required
@require_safe
def desk(request: PersonRequest) -> HttpResponse:
    """List what waits for the person, what is due first on top."""
    now = timezone.now()
    given = hats(request.actor, at=now)
    access.require(domain.may_decide_anything(given), message="This is for those who decide.")
    form = DeskForm(request.GET)
    found = domain.desk_of(given, wanted=form.wanted, at=now)
    page = Paginator(found.items, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "desk": found,
        "page": page,
        "show": form.wanted.show,
        "views": _views(found, form.wanted.show),
        "rows": [(item, item.is_overdue(now)) for item in page.object_list],
        "saved": desk_notes.kept_by(request.user),
        "subscriptions_waiting": subscription_approvals.count_waiting(request.actor),
        "colleagues": _colleagues(request),
        "tabs": tabs("desk", count=found.counts["all"]),
        "keys": KEYS,
        "query": urlencode({name: value for name, value in request.GET.items() if name != "page"}),
        "shortcuts_off": request.COOKIES.get("shortcuts") == "off",
    }
    return render(request, "quotas/deciding/desk.html", context)


@login_required
@require_POST
def act(request: PersonRequest) -> HttpResponse:
    """Do with the selected ones what the button says: approve what is plain, take, give, put off."""
    now = timezone.now()
    selected = _selected(request, at=now)
    if not selected:
        messages.info(request, "Select something first.")
        return _back(request)
    what = request.POST.get("act", "")
    if what == "approve":
        return _approve(request, selected, at=now)
    if what in ("claim", "assign"):
        _assign(request, selected, what, at=now)
    elif what == "release":
        for item in selected:
            desk_notes.release(item.instance, by=request.user, at=now)
        messages.success(request, f"{_count(selected)} given back to everybody.")
    elif what.startswith("snooze:"):
        _snooze(request, selected, what.partition(":")[2], at=now)
    return _back(request)


@login_required
@require_POST
def keep(request: PersonRequest) -> HttpResponse:
    """Keep the filter under a name."""
    try:
        saved = desk_notes.keep(
            request.user, name=request.POST.get("name", ""), query=request.POST.get("query", "")
        )
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
        return _back(request)
    messages.success(request, f"Kept as {saved.name}.")
    return _back(request)


@login_required
@require_POST
def forget(request: PersonRequest, saved_id: int) -> HttpResponse:
    """Forget a filter that the person kept."""
    access.get(desk_notes.kept_by(request.user), pk=saved_id).delete()
    messages.success(request, "Forgotten.")
    return redirect("quotas:desk")


def _approve(request: PersonRequest, selected: list[Item], *, at: datetime) -> HttpResponse:
    requests = [item.instance for item in selected if isinstance(item.instance, IncreaseRequest)]
    apps = [item for item in selected if item.kind == "review"]
    results = bulk.approve(requests, by=request.actor, at=at)
    results += [bulk.Result(item.title, False, "An app is approved on its own page only.") for item in apps]
    context = {"results": results, "approved": sum(one.is_approved for one in results)}
    return render(request, "quotas/deciding/bulk.html", context)


def _assign(request: PersonRequest, selected: list[Item], what: str, *, at: datetime) -> None:
    person = request.user
    if what == "assign":
        colleagues = {str(one.pk): one for one in _colleagues(request)}
        found = colleagues.get(request.POST.get("person", ""))
        if found is None:
            messages.error(request, "Choose a colleague to give them to.")
            return
        person = found
    theirs = [item for item in selected if person == request.user or _may_decide(item, person, at=at)]
    for item in theirs:
        desk_notes.assign(item.instance, to=person, by=request.user, at=at, path=item.path)
    whose = "yours" if person == request.user else f"with {person}"
    if theirs:
        messages.success(request, f"{_count(theirs)} {whose} now.")
    if len(theirs) < len(selected):
        messages.warning(
            request, f"{len(selected) - len(theirs)} stay where they are: not for {person} to decide."
        )


def _may_decide(item: Item, person: User, *, at: datetime) -> bool:
    actor = actor_for(person)
    if isinstance(item.instance, Review):
        return reviews.may_decide(item.instance, actor=actor)
    try:
        hat_for(item.instance, actor=actor, at=at)
    except NotAllowed:
        return False
    return True


def _snooze(request: PersonRequest, selected: list[Item], length: str, *, at: datetime) -> None:
    days = SNOOZES.get(length, 1)
    until = datetime.combine(at.date() + timedelta(days=days), time(6), tzinfo=UTC)
    for item in selected:
        desk_notes.snooze(item.instance, until=until, by=request.user, at=at)
    messages.success(
        request,
        f"{_count(selected)} back on {until:%-d %b, %H:%M} UTC. Dates do not move, and others see it as before.",
    )


def _selected(request: PersonRequest, *, at: datetime) -> list[Item]:
    """Return those of the selected that wait for this person; others are as if not there."""
    names = set(request.POST.getlist("item")[:MOST_AT_ONCE])
    return [item for item in domain.waiting_for(hats(request.actor, at=at), at=at) if item.name in names]


def _colleagues(request: PersonRequest) -> list[User]:
    """People who decide in an organization of this person, to whom things can be given."""
    homes = request.actor.organization_ids
    deciding = Membership.objects.filter(
        organization__in=homes, role__in=[Role.APPROVER, Role.FINANCE, Role.OPERATOR]
    )
    found = User.objects.filter(pk__in=deciding.values("user"), is_active=True).exclude(pk=request.user.pk)
    return list(found.order_by("first_name", "last_name", "email"))


def _views(found: domain.Desk, show: str) -> list[dict[str, Any]]:
    return [
        {
            "label": title,
            "url": f"{reverse('quotas:desk')}?show={name}",
            "count": found.counts[name],
            "is_current": name == show,
        }
        for name, (title, _) in domain.SHOWN.items()
    ]


def _count(selected: list[Item]) -> str:
    return "1 is" if len(selected) == 1 else f"{len(selected)} are"


def _back(request: PersonRequest) -> HttpResponse:
    query = request.POST.get("query", "")[:500]
    return redirect(f"{reverse('quotas:desk')}{'?' + query if query else ''}")
