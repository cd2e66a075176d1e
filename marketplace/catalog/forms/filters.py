"""What the address of a catalogue page says: words, facets, order."""

from django.http import QueryDict

from marketplace.catalog.queries import FACETS, PRICE_MODELS, SORTS, Filters

MAX_TEXT = 200
MAX_VALUES = 50


def filters_of(query: QueryDict) -> Filters:
    """Read the filters of an address; what is not understood is left out, so any address shows a page."""
    chosen = {facet: tuple(dict.fromkeys(query.getlist(facet)[:MAX_VALUES])) for facet in FACETS}
    chosen["price"] = tuple(model for model in chosen["price"] if model in PRICE_MODELS)
    sort = query.get("sort", "")
    # PostgreSQL takes no NUL characters in a text.
    text = query.get("q", "").replace("\0", " ").strip()[:MAX_TEXT]
    chosen = {facet: tuple(v.replace("\0", "") for v in values) for facet, values in chosen.items()}
    return Filters(text=text, sort=sort if sort in SORTS else "", **chosen)


def address_of(filters: Filters) -> str:
    """Write the shortest address of a search: "?q=mail&category=writing", or nothing for everything."""
    query = QueryDict(mutable=True)
    if filters.text:
        query["q"] = filters.text
    for facet in FACETS:
        query.setlist(facet, list(getattr(filters, facet)))
    if filters.sort:
        query["sort"] = filters.sort
    return f"?{query.urlencode()}" if query.urlencode() else ""
