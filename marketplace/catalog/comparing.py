"""Listings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from marketplace.accounts.access import Actor
from marketplace.catalog import queries
from marketplace.catalog.discovery_models import MeasuredFacts
from marketplace.catalog.listing_pages import PlanView, plan_views
from marketplace.catalog.models import Listing
from marketplace.catalog.ratings import mean_of

MOST_COMPARED = 4


@dataclass(frozen=True)
class Compared:
    """A listing beside others. ``measured`` is None where metering has told nothing yet, and for guests."""

    listing: Listing
    plans: Sequence[PlanView]
    cost_per_1000: Decimal | None
    measured: MeasuredFacts | None
    rating: Decimal | None

    @property
    def keeps_promise(self) -> bool | None:
        """Tell whether 95 % of calls answered in time over 90 days; None when that was not measured."""
        if self.measured is None or self.measured.p95_latency_ms is None:
            return None
        return self.measured.p95_latency_ms <= self.listing.version.slo_latency_ms


def compare(slugs: Sequence[str], *, actor: Actor | None) -> list[Compared]:
    """Put up to four listings side by side, in the order asked for (two queries); what the person may not see is left out."""
    wanted = [slug for slug in dict.fromkeys(slugs) if slug.isprintable()][:MOST_COMPARED]
    listings = (
        queries.visible_listings(actor)
        .filter(app__slug__in=wanted)
        .select_related("entry", "version", "app__measured", "app__owner_team__organization")
    )
    by_slug = {listing.app.slug: listing for listing in listings}
    apps = [listing.pk for listing in by_slug.values()]
    plans = list(queries.offered_now().filter(app__in=apps).order_by("id"))
    return [
        _compared(by_slug[slug], [p for p in plans if p.app_id == by_slug[slug].pk], is_guest=actor is None)
        for slug in wanted
        if slug in by_slug
    ]


def _compared(listing: Listing, plans: Sequence[object], *, is_guest: bool) -> Compared:
    entry = getattr(listing, "entry", None)
    return Compared(
        listing=listing,
        plans=plan_views(plans),  # type: ignore[arg-type]
        cost_per_1000=entry.cost_per_1000 if entry else None,
        measured=None if is_guest else getattr(listing.app, "measured", None),
        rating=mean_of(stars=entry.stars, ratings=entry.ratings) if entry else None,
    )
