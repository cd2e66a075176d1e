"""Questions to usage that people gave a name, for themselves or for their organization."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace.accounts.access import Actor
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from metering.models import SavedView

MOST_VIEWS = 100


class NameTaken(Conflict):
    """The person has another view of this name."""

    code = "name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"You have a view called {name!r} already.")


def visible_views(actor: Actor) -> QuerySet[SavedView]:
    """Views of the person, and those shared in their organizations; by name."""
    shared = Q(is_shared=True, organization__in=actor.organization_ids)
    found = SavedView.objects.filter(Q(created_by=actor.user) | shared)
    return found.select_related("created_by").order_by("name", "pk")


def save_view(*, name: str, query: str, is_shared: bool, at: datetime, by: Actor) -> SavedView:
    """Keep a question; the same name and question again gives the first one. Raises InvalidInput, NotAllowed, NameTaken."""
    name = _require_name(name)
    organization_id = _organization_of(by)
    with transaction.atomic():
        known = SavedView.objects.filter(created_by=by.user, name=name).first()
        if known is None and SavedView.objects.filter(created_by=by.user).count() >= MOST_VIEWS:
            message = f"There is room for {MOST_VIEWS} views; remove one first."
            raise InvalidInput("name", message, limit=MOST_VIEWS)
        view, _ = SavedView.objects.get_or_create(
            created_by=by.user,
            name=name,
            defaults={
                "organization_id": organization_id,
                "query": query,
                "is_shared": is_shared,
                "created_at": at,
            },
        )
    if view.query != query:
        raise NameTaken(name)
    return view


def remove_view(view: SavedView, *, by: Actor) -> None:
    """Remove a view of one's own; once more changes nothing. Raises NotAllowed."""
    if view.created_by_id != by.user.pk:
        raise NotAllowed("Only who saved a view removes it.")
    SavedView.objects.filter(pk=view.pk).delete()


def _require_name(name: str) -> str:
    name = name.strip()
    longest = SavedView._meta.get_field("name").max_length or 0
    if not name or "\0" in name or len(name) > longest:
        raise InvalidInput("name", f"Give it a name of up to {longest} characters.", limit=longest)
    return name


def _organization_of(actor: Actor) -> int:
    organizations = [one.organization_id for one in actor.memberships]
    if not organizations:
        raise NotAllowed("Views are kept in an organization, and you belong to none.")
    return organizations[0]
