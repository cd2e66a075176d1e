"""Cards of listings, as every list of the catalogue shows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from marketplace.accounts.access import Actor
from marketplace.catalog import listing_pages, searching
from marketplace.catalog.facets import FACETS
from marketplace.catalog.forms.filters import address_of
from marketplace.catalog.listing_pages import plan_views
from marketplace.catalog.models import Listing
from marketplace.catalog.ratings import mean_of
from marketplace.catalog.searching import Filters

FOUND_IN = {
    "name": "in the name",
    "summary": "in the summary",
    "text": "in the description",
    "several": "in several places",
}


@dataclass(frozen=True)
class Card:
    """A listing with its price in words, its mean rating, and why it stands where it does."""

    listing: Listing
    price: str
    reason: str
    rating: Decimal | None
    ratings: int


def cards_of(listings: Iterable[Listing], filters: Filters | None = None) -> list[Card]:
    """Make cards of listings that ``searching`` found."""
    return [_card(listing, filters or Filters()) for listing in listings]


def drops_of(filters: Filters, *, path: str, actor: Actor | None) -> list[tuple[str, str, int]]:
    """For each filter whose removal helps: what it is, the address without it, how many listings that shows."""
    titles = {"text": f"the words “{filters.text}”"} | {
        name: one.title.lower() for name, one in FACETS.items()
    }
    return [
        (titles[facet], path + address_of(filters.without(facet)), count)
        for facet, count in searching.droppable(filters, actor=actor)
    ]


def _card(listing: Listing, filters: Filters) -> Card:
    entry = listing.entry
    price = listing_pages.price_from(plan_views(listing.app.offered_plans))  # type: ignore[attr-defined]
    return Card(
        listing=listing,
        price=price,
        reason=_reason(listing, filters),
        rating=mean_of(stars=entry.stars, ratings=entry.ratings),
        ratings=entry.ratings,
    )


def _reason(listing: Listing, filters: Filters) -> str:
    """Say why a listing stands where it does; nothing where the page says so already by itself."""
    entry = listing.entry
    if filters.text and filters.sort in ("", "relevance"):
        return f"Found {FOUND_IN[getattr(listing, 'found_in', 'name')]}"
    if filters.sort == "newest":
        return f"Listed {listing.listed_at:%Y-%m-%d}"
    if filters.sort == "cheapest":
        return "" if entry.monthly_price is None else f"{entry.monthly_price:,.2f} for 1,000 calls a month"
    if filters.sort in ("", "popular") and entry.subscribers:
        return f"{entry.subscribers} subscriber{'' if entry.subscribers == 1 else 's'}"
    return ""
