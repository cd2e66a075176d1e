"""Collections: listings that operators put in order, with a note for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Prefetch, Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog import queries, searching
from marketplace.catalog.collection_models import Collection, CollectionItem
from marketplace.catalog.models import App, Listing
from marketplace.core import audit
from marketplace.core.errors import InvalidInput

MOST_ITEMS = 50
LONGEST = {"title": 80, "summary": 200, "note": 200}


@dataclass(frozen=True)
class Choice:
    """A listing in a collection, with the operator's note on it."""

    listing: Listing
    note: str


@dataclass(frozen=True)
class Item:
    """What an operator writes of a listing: its app and a note."""

    app: App
    note: str = ""


def write(
    *,
    slug: str,
    title: str,
    summary: str,
    items: Sequence[Item],
    is_shown: bool,
    by: Actor,
    at: datetime,
) -> Collection:
    """Make a collection, or replace the one of this slug: its words and its items in their order.

    Raises NotAllowed for who is no operator of the platform, InvalidInput.
    """
    access.require_platform(by, Role.OPERATOR)
    title, summary = _require_text("title", title), _require_text("summary", summary, may_be_empty=True)
    _require_items(items)
    with transaction.atomic():
        words = {"title": title, "summary": summary, "is_shown": is_shown}
        collection, is_new = Collection.objects.update_or_create(
            slug=slug, defaults=words, create_defaults=words | {"created_by": by.user, "created_at": at}
        )
        old = list(collection.items.order_by("position").values_list("app__slug", flat=True))
        collection.items.all().delete()
        CollectionItem.objects.bulk_create(
            CollectionItem(collection=collection, app=item.app, position=n, note=item.note.strip())
            for n, item in enumerate(items, 1)
        )
        audit.record(
            "catalog.collection.made" if is_new else "catalog.collection.changed",
            subject=collection,
            at=at,
            by=by.user,
            old={"apps": old},
            new={"apps": [item.app.slug for item in items]},
        )
    return collection


def remove(collection: Collection, *, by: Actor, at: datetime) -> None:
    """Remove a collection; its listings stay. Raises NotAllowed."""
    access.require_platform(by, Role.OPERATOR)
    with transaction.atomic():
        audit.record(
            "catalog.collection.removed", subject=collection, at=at, by=by.user, old={"slug": collection.slug}
        )
        Collection.objects.filter(pk=collection.pk).delete()


def visible_collections(actor: Actor | None) -> QuerySet[Any]:
    """Collections with the number of listings in them that this person may see; hidden and empty ones for operators only."""
    shown = searching.visible_entries(actor).values("pk")
    collections = Collection.objects.annotate(size=Count("items", filter=Q(items__app__in=shown))).order_by(
        "title", "pk"
    )
    if actor is not None and actor.is_platform(Role.OPERATOR):
        return collections
    return collections.filter(is_shown=True, size__gt=0)


def choices(collection: Collection, *, actor: Actor | None) -> list[Choice]:
    """Return the listings of a collection that this person may see, in order (four queries)."""
    plans = Prefetch("app__plans", queries.offered_now().order_by("id"), to_attr="offered_plans")
    listings = (
        queries.visible_listings(actor)
        .filter(entry__isnull=False, app__in=collection.items.values("app"))
        .select_related("entry", "version", "app__owner_team__organization")
        .prefetch_related(plans)
    )
    by_app = {listing.pk: listing for listing in listings}
    items = collection.items.order_by("position")
    return [Choice(by_app[item.app_id], item.note) for item in items if item.app_id in by_app]


def _require_text(field: str, text: str, *, may_be_empty: bool = False) -> str:
    text = text.strip()
    longest = LONGEST[field]
    if "\0" in text or len(text) > longest or not (text or may_be_empty):
        raise InvalidInput(field, f"takes up to {longest} characters", limit=longest)
    return text


def _require_items(items: Sequence[Item]) -> None:
    longest = LONGEST["note"]
    if len(items) > MOST_ITEMS:
        raise InvalidInput("items", f"A collection holds up to {MOST_ITEMS} apps.", limit=MOST_ITEMS)
    if len({item.app.pk for item in items}) < len(items):
        raise InvalidInput("items", "An app stands in a collection once.")
    if any(len(item.note) > longest or "\0" in item.note for item in items):
        raise InvalidInput("items", f"A note has up to {longest} characters.", limit=longest)
