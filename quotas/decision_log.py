"""Every decision there was, on increase requests and on apps: who, what, why, and how long it took."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog import queries_review
from marketplace.catalog.models import Review
from marketplace.core.csv import Cell
from marketplace.core.money import to_text
from quotas.increase_models import IncreaseDecision
from quotas.increase_rights import visible_requests
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED

OUTCOMES = {
    "approved": "Approved",
    "denied": "Denied or rejected",
    "asked": "Asked, or changes requested",
}
REVIEW_STATES = {"approved": ["approved"], "denied": ["rejected"], "asked": ["changes_requested"]}
KINDS = {"increase": "Limits", "review": "Apps"}
COLUMNS = (
    "decided_at", "kind", "subject", "detail", "outcome", "level", "decider", "acting_for", "requester", "opened_at",
    "hours_to_decide", "granted", "reason", "id",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One decision. ``decider`` is None for the policy; ``took`` is from submission to decision."""

    kind: str
    id: str
    title: str
    detail: str
    path: str
    outcome: str
    level: str
    decider: User | None
    acting_for: User | None
    requester: User
    opened_at: datetime
    decided_at: datetime
    reason: str
    granted: str = ""

    @property
    def took(self) -> timedelta:
        return self.decided_at - self.opened_at

    def cells(self) -> list[Cell]:
        """Write it as a row of COLUMNS."""
        return [
            self.decided_at, self.kind, self.title, self.detail, self.outcome, self.level,
            self.decider.email if self.decider else "policy", self.acting_for.email if self.acting_for else "",
            self.requester.email, self.opened_at, int(self.took.total_seconds()) // 3600, self.granted, self.reason,
            self.id,
        ]  # fmt: skip


@dataclass(frozen=True)
class Sought:
    """What is looked for; empty for everything. ``person`` is who decided, for whom, or who asked."""

    kind: str = ""
    outcome: str = ""
    person: str = ""
    text: str = ""


class DecisionLog:
    """Decisions somebody may read, the newest first; counted and cut as Django's paginator wants it (four queries)."""

    def __init__(self, actor: Actor, sought: Sought) -> None:
        self._increases = _increases(actor, sought)
        self._reviews = _reviews(actor, sought)

    def count(self) -> int:
        return self._increases.count() + self._reviews.count()

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[Entry]:
        """Return a page: as many of both as could stand on it, in order."""
        newest = heapq.merge(
            (_of_increase(one) for one in self._increases[: part.stop]),
            (_of_review(one) for one in self._reviews[: part.stop]),
            key=_newest_first,
        )
        return list(islice(newest, part.start or 0, part.stop))

    def __iter__(self) -> Iterator[Entry]:
        """Give all of them, read in pieces."""
        return heapq.merge(
            (_of_increase(one) for one in self._increases.iterator(500)),
            (_of_review(one) for one in self._reviews.iterator(500)),
            key=_newest_first,
        )


def _newest_first(entry: Entry) -> tuple[int, int, int]:
    at = entry.decided_at
    return -at.toordinal(), -(at.hour * 3600 + at.minute * 60 + at.second), -at.microsecond


def _increases(actor: Actor, sought: Sought) -> QuerySet[IncreaseDecision]:
    visible = visible_requests(actor).order_by().values("pk")
    related = (f"request__{name}" for name in RELATED)
    found = IncreaseDecision.objects.filter(request__in=visible).select_related(
        "request__requester", "decider", "acting_for", *related
    )
    if sought.kind == "review":
        return found.none()
    if sought.outcome:
        found = found.filter(verdict=sought.outcome)
    if sought.person:
        found = found.filter(_named(sought.person, "decider", "acting_for", "request__requester"))
    if sought.text:
        found = found.filter(
            Q(reason__icontains=sought.text)
            | Q(request__reason__icontains=sought.text)
            | Q(request__subscription__app__name__icontains=sought.text)
            | Q(request__app__name__icontains=sought.text)
            | Q(request__team__name__icontains=sought.text)
            | Q(request__cost_center__name__icontains=sought.text)
        )
    return found.order_by("-decided_at", "-pk")


def _reviews(actor: Actor, sought: Sought) -> QuerySet[Review]:
    found = queries_review.decided(actor, text=sought.text).exclude(decided_at=None)
    if sought.kind == "increase":
        return found.none()
    if sought.outcome:
        found = found.filter(state__in=REVIEW_STATES.get(sought.outcome, []))
    if sought.person:
        found = found.filter(_named(sought.person, "decided_by", "submitted_by"))
    return found.order_by("-decided_at", "-pk")


def _named(text: str, *columns: str) -> Q:
    named = Q()
    for column in columns:
        for name in ("email", "first_name", "last_name"):
            named |= Q(**{f"{column}__{name}__icontains": text})
    return named


def _of_increase(one: IncreaseDecision) -> Entry:
    request = one.request
    return Entry(
        kind="increase",
        id=str(request.pk),
        title=subject_of(request).owner.label,
        detail=f"{to_text(request.current_value)} → {to_text(request.requested)} {request.measure} a {request.window}",
        path=reverse("quotas:increase-decide", args=[request.pk]),
        outcome=one.verdict,
        level=one.level,
        decider=one.decider,
        acting_for=one.acting_for,
        requester=request.requester,
        opened_at=request.submitted_at or request.created_at,
        decided_at=one.decided_at,
        reason=one.reason,
        granted="" if one.granted is None else to_text(one.granted),
    )


def _of_review(one: Review) -> Entry:
    assert one.decided_at is not None
    return Entry(
        kind="review",
        id=str(one.pk),
        title=one.version.app.name,
        detail=f"version {one.version.number}",
        path=reverse("catalog:review", args=[one.pk]),
        outcome=one.state,
        level="review",
        decider=one.decided_by,
        acting_for=None,
        requester=one.submitted_by,
        opened_at=one.opened_at,
        decided_at=one.decided_at,
        reason=one.reason,
    )
