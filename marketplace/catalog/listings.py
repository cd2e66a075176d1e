"""What the catalogue shows of an app: put there on approval, together with what search finds it by."""

from datetime import datetime

from django.contrib.postgres.search import SearchVector
from django.db.models import Value
from django.db.models.expressions import Combinable

from marketplace.catalog.models import App, Listing, Version

SEARCH_CONFIG = "english"


def publish(app: App, *, version: Version, at: datetime) -> Listing:
    """Show a version of an app in the catalogue, in place of the one that was shown before.

    Only writes the listing: moving the version's state belongs to whoever decided. ``listed_at`` stays that
    of the first call; calling again with the same version renews the search terms.
    """
    shown = {"version": version, "updated_at": at, "search": search_terms(app)}
    listing, _ = Listing.objects.update_or_create(
        app=app, defaults=shown, create_defaults=shown | {"listed_at": at}
    )
    return listing


def search_terms(app: App) -> Combinable:
    """Build the search vector: the name counts most, then the one-line summary, then the rest.

    Made of values and not of columns: PostgreSQL allows no joins in an UPDATE of the listing.
    """
    return (
        _terms(app.name, weight="A")
        + _terms(f"{app.summary} {app.category}", weight="B")
        + _terms(app.description, weight="C")
        + _terms(f"{app.slug.replace('-', ' ')} {app.owner_team.name}", weight="D")
    )


def _terms(text: str, *, weight: str) -> SearchVector:
    return SearchVector(Value(text), weight=weight, config=SEARCH_CONFIG)
