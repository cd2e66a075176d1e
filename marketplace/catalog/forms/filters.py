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


def address_without(filters: Filters, facet: str) -> str:
    """Write the address of the same search without one facet, or without its words (``text``)."""
    rest = filters.without(facet)
    query = QueryDict(mutable=True)
    if rest.text:
        query["q"] = rest.text
    for name in FACETS:
        query.setlist(name, list(getattr(rest, name)))
    if rest.sort:
        query["sort"] = rest.sort
    return f"?{query.urlencode()}"
