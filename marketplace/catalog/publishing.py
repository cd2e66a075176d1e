"""Putting a version live: what an approval, a roll-back and a granted appeal have in common."""

from datetime import datetime

from marketplace.accounts.models import User
from marketplace.catalog import about, listings, price_changes, takedowns
from marketplace.catalog.models import Version
from marketplace.core.transitions import move


def put_live(version: Version, *, by: User | None, at: datetime, reason: str) -> None:
    """List a version in the place of the one that is live. The caller holds its row and has moved it to a state before listed."""
    move(
        version, Version.TRANSITIONS, to=Version.State.LISTED, action="catalog.version.listed", at=at, by=by, reason=reason
    )  # fmt: skip
    replace_others(version, by=by, at=at)
    about.apply_to_app(version)
    listings.publish(version.app, version=version, at=at)
    takedowns.end_fixed(version, by=by, at=at)


def replace_others(version: Version, *, by: User | None, at: datetime) -> None:
    """Let the version that was live before make room."""
    others = version.app.versions.filter(state__in=[Version.State.LISTED, Version.State.SUSPENDED])
    for previous in others.exclude(pk=version.pk).order_by("pk"):
        move(
            previous,
            Version.TRANSITIONS,
            to=Version.State.DEPRECATED,
            action="catalog.version.deprecated",
            at=at,
            by=by,
            reason=f"Version {version.number} took its place.",
        )


def offer_price(version: Version, *, by: User, at: datetime) -> None:
    """Bring the price of a version that went live to those who are subscribed and those who will be."""
    if version.plan is not None:
        price_changes.begin(version, by=by, at=at)
