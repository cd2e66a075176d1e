"""What waits for somebody's decision: increase requests and reviews of apps, together, what is due first on top."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.urls import reverse

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import about, projections, queries_review
from marketplace.catalog.models import Review
from marketplace.core.money import to_text
from quotas import desk_notes, risk
from quotas.deputies import Hat, decidable
from quotas.desk_notes import ItemKey
from quotas.increase_models import IncreaseRequest
from quotas.increase_rights import has_right
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED
from quotas.risk import Risk

# More than this nobody goes through; the page says so, and filters narrow it.
MOST = 500
SOON = timedelta(days=2)
WEEK = timedelta(days=7)
DECIDERS = frozenset({Role.APPROVER, Role.FINANCE, Role.OPERATOR})


@dataclass(frozen=True)
class Item:
    """Something to decide on. ``monthly`` is what it is expected to cost a month; ``for_whom`` whose right it takes."""

    kind: str
    instance: IncreaseRequest | Review
    level: str
    title: str
    detail: str
    path: str
    requester: User
    opened_at: datetime
    due_at: datetime
    monthly: Decimal | None
    currency: str
    risk: Risk
    for_whom: User | None = None
    assignee: User | None = None
    lookers: tuple[User, ...] = ()
    snoozed_until: datetime | None = None

    @property
    def key(self) -> ItemKey:
        return self.kind, self.instance.pk

    @property
    def name(self) -> str:
        """How forms name it: "increase:018f…"."""
        return f"{self.kind}:{self.instance.pk}"

    def is_overdue(self, at: datetime) -> bool:
        return self.due_at <= at

    def is_due_soon(self, at: datetime) -> bool:
        return self.due_at <= at + SOON


@dataclass(frozen=True)
class Wanted:
    """Which of them are shown. ``show`` is one of SHOWN, ``kind`` and ``grade`` are empty for all."""

    show: str = "due"
    kind: str = ""
    grade: str = ""
    text: str = ""


# What each choice shows, given an item, the person and the time. Snoozed ones are in "snoozed" only.
SHOWN: dict[str, tuple[str, Callable[[Item, User, datetime], bool]]] = {
    "due": (
        "Mine and due soon",
        lambda item, person, at: item.assignee == person or (item.assignee is None and item.is_due_soon(at)),
    ),
    "mine": ("Mine", lambda item, person, at: item.assignee == person),
    "free": ("Nobody's", lambda item, person, at: item.assignee is None),
    "all": ("All", lambda item, person, at: True),
    "snoozed": ("Snoozed", lambda item, person, at: True),
}


@dataclass(frozen=True)
class Desk:
    """What is shown, and how many there are of what: counts are of everything that waits, whatever is shown."""

    items: tuple[Item, ...]
    counts: dict[str, int]
    next_week: int
    is_cut: bool


def desk_of(given: Sequence[Hat], *, wanted: Wanted, at: datetime) -> Desk:
    """Return what waits for somebody with these rights, and all that a desk shows (four queries)."""
    actor = given[0].actor
    found = waiting_for(given, at=at)
    shown = [item for item in found if _is_shown(item, wanted, actor.user, at)]
    counts = {name: sum(_is_in(name, item, actor.user, at) for item in found) for name in SHOWN}
    next_week = sum(at + SOON < item.due_at <= at + WEEK for item in found if item.snoozed_until is None)
    return Desk(tuple(shown), counts, next_week, is_cut=len(found) >= MOST)


def waiting_for(given: Sequence[Hat], *, at: datetime) -> list[Item]:
    """Return everything that waits for somebody, what is due first on top, with what is noted on it."""
    actor = given[0].actor
    items = [*_increases(given), *_reviews(actor)]
    noted = desk_notes.notes((item.key for item in items), by=actor.user, at=at)
    with_notes = [
        replace(
            item,
            assignee=noted.assignees.get(item.key),
            lookers=tuple(noted.lookers.get(item.key, ())),
            snoozed_until=noted.snoozed.get(item.key),
        )
        for item in items
    ]
    return sorted(with_notes, key=lambda item: (item.due_at, item.risk.rank, str(item.instance.pk)))


def may_decide_anything(given: Sequence[Hat]) -> bool:
    """Tell whether a desk makes sense for somebody: by their roles, who they decide for, or a cost center they own."""
    actor = given[0].actor
    if actor.roles & DECIDERS or actor.user.is_superuser or len(given) > 1:
        return True
    return actor.user.owned_cost_centers.exists()


def _increases(given: Sequence[Hat]) -> list[Item]:
    found = (
        decidable(list(given))
        .select_related(*RELATED, "requester", "charged_cost_center")
        .order_by("escalate_at", "pk")[:MOST]
    )
    return [_of_increase(request, given) for request in found]


def _of_increase(request: IncreaseRequest, given: Sequence[Hat]) -> Item:
    owner = subject_of(request).owner
    projection = request.verdict.get("projection") or {}
    expected = projection.get("expected")
    unit = request.measure if request.measure != "concurrency" else "calls at a time"
    window = "" if request.measure == "concurrency" else f" a {request.window}"
    return Item(
        kind="increase",
        instance=request,
        level=request.state,
        title=owner.label,
        detail=f"{_grouped(request.current_value)} → {_grouped(request.requested)} {unit}{window}",
        path=reverse("quotas:increase-decide", args=[request.pk]),
        requester=request.requester,
        opened_at=request.submitted_at or request.created_at,
        due_at=request.escalate_at or request.created_at,
        monthly=None if expected is None else Decimal(expected),
        currency=projection.get("currency") or request.currency,
        risk=risk.of_increase(request.verdict),
        for_whom=_for_whom(request, given),
    )


def _grouped(value: Decimal) -> str:
    return f"{Decimal(to_text(value)):,}"


def _for_whom(request: IncreaseRequest, given: Sequence[Hat]) -> User | None:
    """Name whose right it takes, where the person has none of their own. Roles alone: what it takes exactly, the page says."""
    if len(given) == 1 or _has_right(request, given[0]):
        return None
    return next((hat.holder.user for hat in given[1:] if _has_right(request, hat)), None)


def _has_right(request: IncreaseRequest, hat: Hat) -> bool:
    return hat.covers(request.state) and has_right(request, actor=hat.holder, level=request.state)


def _reviews(actor: Actor) -> list[Item]:
    """Reviews of apps, by the rules of the catalogue, but those of which the person submitted, and those that wait for an answer."""
    found = queries_review.queue(actor).filter(paused_at=None).exclude(submitted_by=actor.user)[:MOST]
    return [_of_review(review) for review in found]


def _of_review(review: Review) -> Item:
    projection = projections.from_json(review.projection)
    return Item(
        kind="review",
        instance=review,
        level="review",
        title=str(about.of_version(review.version)["name"]),
        detail=f"version {review.version.number} · {review.version.app.owner_team}",
        path=reverse("catalog:review", args=[review.pk]),
        requester=review.submitted_by,
        opened_at=review.opened_at,
        due_at=review.due_at,
        monthly=projection.cost.mean if projection else None,
        currency=projection.currency if projection else "",
        risk=risk.of_review(review.risk_score, [text for _, text in review.risk_reasons]),
    )


def _is_shown(item: Item, wanted: Wanted, person: User, at: datetime) -> bool:
    if wanted.kind and item.kind != wanted.kind:
        return False
    if wanted.grade and item.risk.grade != wanted.grade:
        return False
    said = f"{item.title} {item.detail} {item.requester} {item.requester.email}".casefold()
    if wanted.text and wanted.text.casefold() not in said:
        return False
    return _is_in(wanted.show if wanted.show in SHOWN else "due", item, person, at)


def _is_in(name: str, item: Item, person: User, at: datetime) -> bool:
    if (item.snoozed_until is not None) != (name == "snoozed"):
        return False
    return SHOWN[name][1](item, person, at)
