"""What the catalogue shows of an app: put there on approval. What search finds it by is kept by triggers (catalog.entries)."""

from datetime import datetime

from marketplace.catalog.models import App, Listing, Version


def publish(app: App, *, version: Version, at: datetime) -> Listing:
    """Show a version of an app in the catalogue, in place of the one that was shown before.

    Only writes the listing: moving the version's state belongs to whoever decided. ``listed_at`` stays that
    of the first call.
    """
    shown = {"version": version, "updated_at": at}
    listing, _ = Listing.objects.update_or_create(
        app=app, defaults=shown, create_defaults=shown | {"listed_at": at}
    )
    return listing
