"""What waits for a second person: takedowns, appeals, prices that rise, and looks at what was approved by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog import appeals, auto_approvals, price_changes, takedowns
from marketplace.catalog.models import App
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.catalog.version_models import PriceChange

MOST = 100


@dataclass(frozen=True)
class Waiting:
    """One thing that waits: ``due_at`` where it has a date, ``by`` whose second person is wanted."""

    what: str
    app: App
    path: str
    detail: str
    by: User | None
    since: datetime
    due_at: datetime | None


def waiting(actor: Actor) -> list[Waiting]:
    """Return everything that waits for a second person in this approver's organizations, the oldest first (four queries)."""
    found = [*_takedowns(actor), *_appeals(actor), *_prices(actor), *_looks(actor)]
    return sorted(found, key=lambda one: one.since)


def running(actor: Actor) -> Sequence[Takedown]:
    """Return takedowns with a date that has not come (one query)."""
    return list(takedowns.visible(actor).filter(state=Takedown.State.PENDING).order_by("fix_by", "pk")[:MOST])


def _takedowns(actor: Actor) -> list[Waiting]:
    asked = takedowns.visible(actor).filter(state=Takedown.State.PROPOSED).order_by("proposed_at", "pk")
    return [
        Waiting(
            "Takedown",
            one.app,
            reverse("catalog:takedown", args=[one.pk]),
            one.reason,
            one.proposed_by,
            one.proposed_at,
            one.fix_by,
        )
        for one in asked[:MOST]
    ]


def _appeals(actor: Actor) -> list[Waiting]:
    opened = appeals.visible(actor).filter(state=Appeal.State.OPEN).order_by("due_at", "pk")
    return [
        Waiting(
            "Appeal",
            one.app,
            reverse("catalog:appeal", args=[one.pk]),
            one.text,
            one.appealed_by,
            one.appealed_at,
            one.due_at,
        )
        for one in opened[:MOST]
    ]


def _prices(actor: Actor) -> list[Waiting]:
    asked = price_changes.visible(actor).filter(state=PriceChange.State.PROPOSED)
    return [
        Waiting(
            "Price rise",
            one.app,
            reverse("catalog:price-change", args=[one.pk]),
            one.reason,
            one.proposed_by,
            one.proposed_at,
            None,
        )
        for one in asked.order_by("proposed_at", "pk")[:MOST]
    ]


def _looks(actor: Actor) -> list[Waiting]:
    due = auto_approvals.looks(actor).filter(seen_at=None).order_by("due_at", "pk")
    return [
        Waiting(
            "Approved by itself",
            one.review.version.app,
            reverse("catalog:post-review", args=[one.pk]),
            one.review.reason,
            None,
            one.review.decided_at or one.review.opened_at,
            one.due_at,
        )
        for one in due[:MOST]
    ]
