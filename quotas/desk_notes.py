"""What people note on things that wait for them: taking and giving them, putting them off, having them on the screen."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace.accounts.models import User
from marketplace.catalog import review_claims
from marketplace.catalog.models import Review
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.notices import Kind, notify
from quotas.increase_models import IncreaseRequest
from quotas.models import DeskGlance, DeskMark, SavedDesk

# Somebody is looking as long as their page has asked within this time; it asks every ten seconds.
LOOKING = review_claims.LOOKING
LONGEST_SNOOZE = timedelta(days=30)
MOST_SAVED = 20
Item = IncreaseRequest | Review
ItemKey = tuple[str, UUID]


@dataclass(frozen=True)
class Notes:
    """What is noted on things, by kind and id: who has them, who looks, until when they are put off."""

    assignees: dict[ItemKey, User]
    lookers: dict[ItemKey, list[User]]
    snoozed: dict[ItemKey, datetime]


def key_of(item: Item) -> ItemKey:
    """Return kind and id of a thing that waits."""
    return ("increase" if isinstance(item, IncreaseRequest) else "review", item.pk)


def assign(item: Item, *, to: User, by: User, at: datetime, path: str, note: str = "") -> None:
    """Give something to somebody, or take it (``to`` is ``by``); whoever had it before has it no more.

    That ``to`` may decide it is for the caller to know. ``path`` leads to the thing in the notice.
    """
    if isinstance(item, Review):
        review_claims.give(item, to=to, by=by, at=at, path=path, note=note)
        return
    with transaction.atomic():
        DeskMark.objects.update_or_create(
            increase=item,
            defaults={"assignee": to, "assigned_by": by, "assigned_at": at, "note": note[:200]},
        )
        audit.record(
            "quotas.desk.assigned",
            subject=item,
            at=at,
            by=by,
            new={"assignee": to.email},
            reason=note,
        )
        if to.pk != by.pk:
            text = f"{by} passed on to you: {item}." + (f" {note}" if note else "")
            notify(
                [to],
                text=text,
                at=at,
                key=f"desk:{item.pk}:{to.pk}:{at.isoformat()}",
                path=path,
                kind=Kind.DECISIONS,
            )


def release(item: Item, *, by: User, at: datetime) -> bool:
    """Give something back to everybody; False when nobody had it."""
    if isinstance(item, Review):
        return review_claims.release(item, by=by, at=at)
    with transaction.atomic():
        gone, _ = DeskMark.objects.filter(increase=item).delete()
        if gone:
            audit.record("quotas.desk.released", subject=item, at=at, by=by)
    return bool(gone)


def clear(item: IncreaseRequest) -> None:
    """Forget who had it, once it goes on to other people."""
    DeskMark.objects.filter(increase=item).delete()


def snooze(item: Item, *, until: datetime, by: User, at: datetime) -> None:
    """Put something off for oneself; others see it as before, and its dates do not move. Raises InvalidInput."""
    if not at < until <= at + LONGEST_SNOOZE:
        raise InvalidInput("until", "Choose a time within the next thirty days.", limit=LONGEST_SNOOZE.days)
    DeskGlance.objects.update_or_create(**_of(item), person=by, defaults={"snoozed_until": until})


def look(item: IncreaseRequest, *, by: User, at: datetime) -> list[User]:
    """Note that somebody has a request on their screen; returns who else has. Of a review, the catalogue knows."""
    DeskGlance.objects.update_or_create(**_of(item), person=by, defaults={"seen_at": at})
    others = _looking(at).filter(**_of(item)).exclude(person=by).select_related("person")
    return [glance.person for glance in others.order_by("pk")]


def notes(keys: Iterable[ItemKey], *, by: User, at: datetime) -> Notes:
    """Read what is noted on things (four queries)."""
    by_kind: dict[str, list[UUID]] = {"increase": [], "review": []}
    for kind, pk in keys:
        by_kind[kind].append(pk)
    marks = DeskMark.objects.filter(increase__in=by_kind["increase"]).select_related("assignee")
    assignees: dict[ItemKey, User] = {("increase", mark.increase_id): mark.assignee for mark in marks}
    for pk, claim in review_claims.holders(by_kind["review"], at=at).items():
        assignees["review", pk] = claim.person
    looking = review_claims.lookers(by_kind["review"], but=by, at=at)
    lookers: dict[ItemKey, list[User]] = {("review", pk): people for pk, people in looking.items()}
    snoozed: dict[ItemKey, datetime] = {}
    of_these = Q(increase__in=by_kind["increase"]) | Q(review__in=by_kind["review"])
    wanted = Q(seen_at__gte=at - LOOKING) & ~Q(person=by) | Q(person=by, snoozed_until__gt=at)
    for glance in DeskGlance.objects.filter(of_these & wanted).select_related("person").order_by("pk"):
        key = (glance.item_kind, glance.item_id)
        if glance.person_id != by.pk:
            lookers.setdefault(key, []).append(glance.person)
        elif glance.snoozed_until is not None:
            snoozed[key] = glance.snoozed_until
    return Notes(assignees, lookers, snoozed)


def keep(person: User, *, name: str, query: str) -> SavedDesk:
    """Keep a filter under a name; the same name again replaces it. Raises InvalidInput."""
    if not name.strip():
        raise InvalidInput("name", "Give it a name.")
    kept = SavedDesk.objects.filter(person=person)
    if kept.exclude(name=name).count() >= MOST_SAVED:
        raise InvalidInput("name", f"There is room for {MOST_SAVED} filters; remove one.", limit=MOST_SAVED)
    saved, _ = SavedDesk.objects.update_or_create(
        person=person, name=name.strip()[:60], defaults={"query": query[:500]}
    )
    return saved


def kept_by(person: User) -> QuerySet[SavedDesk]:
    """Filters that a person keeps, by name."""
    return SavedDesk.objects.filter(person=person).order_by("name")


def _of(item: Item) -> dict[str, Any]:
    kind, pk = key_of(item)
    return {f"{kind}_id": pk}


def _looking(at: datetime) -> QuerySet[Any]:
    return DeskGlance.objects.filter(seen_at__gte=at - LOOKING)
