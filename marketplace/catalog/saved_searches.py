"""Searches that people keep, and the notices when something new matches."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.catalog import searching
from marketplace.catalog.discovery_models import SavedSearch, SavedSearchMatch
from marketplace.catalog.models import App
from marketplace.catalog.searching import Filters
from marketplace.core.errors import InvalidInput
from marketplace.core.notices import Kind, notify

MOST_SEARCHES = 50
# Notices make sense for a search that finds few; each app it has found is remembered.
MOST_MATCHES = 500


class TooWide(InvalidInput):
    """The search finds so much that a notice for each new app would be noise."""

    code = "too_wide"

    def __init__(self) -> None:
        super().__init__(
            "query", f"It finds more than {MOST_MATCHES} apps. Add a word or a filter.", limit=MOST_MATCHES
        )


def save(*, name: str, query: str, filters: Filters, tells: bool, by: Actor, at: datetime) -> SavedSearch:
    """Keep a search under a name; what it finds now is known and not told of. The same search again gives the first one.

    ``filters`` are what ``query`` says. Raises InvalidInput, also for a search that finds nearly everything.
    """
    name = _require_name(name)
    if filters.is_empty():
        raise InvalidInput("query", "Search for something first: words or a filter.")
    found = searching.matching_apps(filters, actor=by, most=MOST_MATCHES + 1)
    if len(found) > MOST_MATCHES:
        raise TooWide
    with transaction.atomic():
        known = SavedSearch.objects.filter(person=by.user, query=query).first()
        if known is None and SavedSearch.objects.filter(person=by.user).count() >= MOST_SEARCHES:
            message = f"There is room for {MOST_SEARCHES} searches; remove one first."
            raise InvalidInput("name", message, limit=MOST_SEARCHES)
        saved, _ = SavedSearch.objects.get_or_create(
            person=by.user, query=query, defaults={"name": name, "tells": tells, "created_at": at}
        )
        _remember(saved, found)
    return saved


def remove(saved: SavedSearch, *, by: Actor) -> None:
    """Remove a search of one's own; once more changes nothing."""
    SavedSearch.objects.filter(pk=saved.pk, person=by.user).delete()


def saved_of(person: User) -> QuerySet[SavedSearch]:
    """Searches of a person, by name."""
    return SavedSearch.objects.filter(person=person).order_by("name", "pk")


def tell_new(saved: SavedSearch, filters: Filters, *, at: datetime) -> int:
    """Tell the person of each app that matches anew, once for each app; returns how many there were.

    What they may see is asked anew as well: who left an organization hears nothing of its apps.
    """
    person = saved.person
    found = searching.matching_apps(filters, actor=actor_for(person), most=MOST_MATCHES)
    known = set(saved.matches.values_list("app", flat=True))
    new = [app for app in found if app not in known]
    with transaction.atomic():
        for app in App.objects.filter(pk__in=new).order_by("pk"):
            notify(
                [person],
                text=f"New for your search “{saved.name}”: {app.name}. {app.summary}",
                at=at,
                key=f"saved-search:{saved.pk}:{app.pk}",
                path=reverse("catalog:listing", args=[app.slug]),
                kind=Kind.CATALOGUE,
            )
        _remember(saved, new)
    return len(new)


def telling() -> QuerySet[SavedSearch]:
    """Searches whose people want to hear of new matches."""
    return (
        SavedSearch.objects.filter(tells=True, person__is_active=True).select_related("person").order_by("pk")
    )


def _remember(saved: SavedSearch, apps: list[int]) -> None:
    rows = [SavedSearchMatch(search=saved, app_id=app) for app in apps]
    SavedSearchMatch.objects.bulk_create(rows, ignore_conflicts=True)


def _require_name(name: str) -> str:
    name = name.strip()
    longest = SavedSearch._meta.get_field("name").max_length or 0
    if not name or "\0" in name or len(name) > longest:
        raise InvalidInput("name", f"Give it a name of up to {longest} characters.", limit=longest)
    return name
