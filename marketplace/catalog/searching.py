"""How the catalogue is searched: words and facets, counts, order, and why something was found.

Pages, API, saved searches and the check after an approval all ask here. A search of twenty thousand listings takes four
small queries over search entries (catalog.discovery_models), whatever the filters are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Case, F, Prefetch, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Team
from marketplace.catalog import counting, queries, search_words
from marketplace.catalog.discovery_models import SearchEntry
from marketplace.catalog.facets import FACETS, FacetValue
from marketplace.catalog.models import App, Listing

SEARCH_CONFIG = "english"
SORTS = {
    "relevance": "Best first",
    "popular": "Most used",
    "rating": "Best rated",
    "cheapest": "Cheapest",
    "newest": "Newest",
    "name": "Name",
}
# What no list shows of a listing, and is long.
_LONG = (
    "entry__search",
    *(
        f"version__{name}"
        for name in (
            "about",
            "instructions",
            "prompt_template",
            "output_schema",
            "endpoint_contract",
            "examples",
        )
    ),
)
# Annotated on the way: the type checker does not follow annotations through functions.
Rows = QuerySet[Any]


@dataclass(frozen=True)
class Filters:
    """What somebody asked the catalogue for; several values of one facet mean any of them."""

    text: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str = ""

    @classmethod
    def of(cls, text: str = "", *, sort: str = "", **facets: Sequence[str]) -> "Filters":
        """Build filters from facets by name; those without a value are left out."""
        return cls(text.strip(), {name: tuple(facets[name]) for name in FACETS if facets.get(name)}, sort)

    def without(self, facet: str) -> "Filters":
        """Return the same wish without one facet, or without its words (``text``)."""
        if facet == "text":
            return replace(self, text="")
        return replace(self, chosen={name: values for name, values in self.chosen.items() if name != facet})

    def has_facets(self) -> bool:
        return bool(self.chosen)

    def is_empty(self) -> bool:
        return not (self.text or self.chosen)


@dataclass(frozen=True)
class Matching:
    """The entries that a person may see and that have the words; ``tsquery`` is empty without words."""

    entries: Rows
    tsquery: str = ""
    is_close: bool = False


class FoundListings:
    """Listings in their order, read page by page: only what is looked at leaves the database."""

    def __init__(self, entries: Rows, *, total: int, tsquery: str = "") -> None:
        self._entries, self._total, self._tsquery = entries, total, tsquery

    def count(self) -> int:
        return self._total

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Listing]:
        return iter(self[0 : self._total])

    def __getitem__(self, part: slice) -> list[Listing]:
        """Return the listings of a stretch, each with its entry, offered plans, and ``found_in``: what the words are in."""
        ids = list(self._entries.values_list("pk", flat=True)[part])
        found = {listing.pk: listing for listing in _shown(ids, self._tsquery)}
        return [found[pk] for pk in ids if pk in found]


@dataclass(frozen=True)
class Found:
    """What a search found, best first; ``is_close_match`` when no word was there as it was typed."""

    listings: FoundListings
    is_close_match: bool = False
    facets: Mapping[str, Sequence[FacetValue]] = field(default_factory=dict)


def search(filters: Filters, *, actor: Actor | None, with_facets: bool = False) -> Found:
    """Find listings by words and facets; ``actor`` None is a guest.

    Words match by stem and by beginning; when not all of them do, words that were mistyped are understood.
    """
    matching = _matching(visible_entries(actor), filters.text)
    conditions = _conditions(filters)
    narrowed = matching.entries.filter(*conditions.values())
    counts = counting.count(matching.entries, conditions) if with_facets else None
    total = narrowed.count() if counts is None else counts.total
    return Found(
        listings=FoundListings(
            _ordered(narrowed, filters, matching.tsquery), total=total, tsquery=matching.tsquery
        ),
        is_close_match=matching.is_close,
        facets={} if counts is None else counting.facet_values(counts, filters.chosen),
    )


def visible_entries(actor: Actor | None) -> QuerySet[SearchEntry]:
    """Entries of listings that are public or of the actor's organizations; all for the platform's own roles."""
    if actor is None:
        return SearchEntry.objects.filter(is_public=True)
    if actor.is_platform(*access.PLATFORM_ROLES):
        return SearchEntry.objects.all()
    return SearchEntry.objects.filter(Q(is_public=True) | Q(organization__in=actor.organization_ids))


def matching_apps(filters: Filters, *, actor: Actor | None, most: int) -> list[int]:
    """Return the ids of the first apps that a search finds, in no order that means anything."""
    entries = _matching(visible_entries(actor), filters.text).entries.filter(*_conditions(filters).values())
    return list(entries.order_by("pk").values_list("pk", flat=True)[:most])


def finds(app: App, *, text: str, actor: Actor) -> bool:
    """Tell whether a search for these words finds an app."""
    return _matching(visible_entries(actor), text).entries.filter(pk=app.pk).exists()


def droppable(filters: Filters, *, actor: Actor | None) -> list[tuple[str, int]]:
    """For a search that found nothing: how many listings there are without one filter, most first."""
    counts = []
    for facet in ("text", *FACETS):
        if filters.text if facet == "text" else facet in filters.chosen:
            counts.append((facet, search(filters.without(facet), actor=actor).listings.count()))
    return sorted([(facet, count) for facet, count in counts if count], key=lambda pair: -pair[1])


def _matching(entries: Rows, text: str) -> Matching:
    words = search_words.words_of(text)
    if not words:
        return Matching(entries)
    exact = _having(entries, search_words.query_of(words))
    if exact.entries.exists():
        return exact
    meant = search_words.find_meant(words)
    close = _having(entries, search_words.query_of(words, meant))
    if any(meant.values()) and close.entries.exists():
        return replace(close, is_close=True)
    # "To be or not" is made of words that full text leaves out: such a name is found as it is written.
    return Matching(entries.filter(name__icontains=" ".join(words)), is_close=True)


def _having(entries: Rows, tsquery: str) -> Matching:
    return Matching(entries.filter(search=query_of(tsquery)), tsquery)


def query_of(tsquery: str) -> SearchQuery:
    """Make a query of text in PostgreSQL's own notation."""
    return SearchQuery(tsquery, search_type="raw", config=SEARCH_CONFIG)


def _conditions(filters: Filters) -> dict[str, Q]:
    """Write each chosen facet as a condition; teams come by name and are found by id (one query)."""
    conditions = {
        name: FACETS[name].condition(values) for name, values in filters.chosen.items() if name != "team"
    }
    if "team" in filters.chosen:
        wanted = [name.partition("/") for name in filters.chosen["team"]]
        of_any = Q(pk__in=[])
        for organization, _, team in wanted:
            of_any |= Q(slug=team, organization__slug=organization)
        conditions["team"] = Q(team__in=list(Team.objects.filter(of_any).values_list("pk", flat=True)))
    return conditions


def _ordered(entries: Rows, filters: Filters, tsquery: str) -> Rows:
    sort = filters.sort or ("relevance" if tsquery else "popular")
    if sort == "relevance" and tsquery:
        return entries.annotate(relevance=SearchRank(F("search"), query_of(tsquery))).order_by(
            "-relevance", "-monthly_calls", "name", "pk"
        )
    orders: dict[str, tuple[Any, ...]] = {
        "newest": ("-listed_at", "name"),
        "name": ("name",),
        "rating": ("-rating_sort", "-ratings", "name"),
        "cheapest": (F("monthly_price").asc(nulls_last=True), "name"),
    }
    return entries.order_by(*orders.get(sort, ("-monthly_calls", "-subscribers", "name")), "pk")


def _shown(ids: Sequence[int], tsquery: str) -> Rows:
    related = Listing.objects.select_related("entry", "version", "app__owner_team__organization")
    listings: Rows = related.filter(pk__in=ids).defer(*_LONG)
    if tsquery:
        listings = listings.annotate(found_in=_found_in(tsquery))
    return listings.prefetch_related(
        Prefetch("app__plans", queries.offered_now().order_by("id"), to_attr="offered_plans")
    )


def _found_in(tsquery: str) -> Combinable:
    """Say in which part all the words are: the name, the summary, the text; else in several parts."""
    places = {"A": "name", "B": "summary", "C": "text"}
    whens = [
        When(entry__search=query_of(tsquery.replace(":*", f":*{weight}")), then=Value(place))
        for weight, place in places.items()
    ]
    return Case(*whens, default=Value("several"))
