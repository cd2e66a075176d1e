"""What the address of a catalogue page says: words, facets, order."""

from django.http import QueryDict

from marketplace.catalog.facets import FACETS
from marketplace.catalog.searching import SORTS, Filters

MAX_TEXT = 200
MAX_VALUES = 50


def filters_of(query: QueryDict) -> Filters:
    """Read the filters of an address; what is not understood is left out, so any address shows a page."""
    sort = query.get("sort", "")
    # PostgreSQL takes no NUL characters in a text.
    text = query.get("q", "").replace("\0", " ").strip()[:MAX_TEXT]
    chosen = {name: _values(query, name) for name in FACETS}
    return Filters.of(text, sort=sort if sort in SORTS else "", **chosen)


def address_of(filters: Filters) -> str:
    """Write the shortest address of a search: "?q=mail&category=writing", or nothing for everything."""
    query = query_of(filters)
    return f"?{query}" if query else ""


def query_of(filters: Filters) -> str:
    """Write what follows the question mark: words, facets in their order, sort."""
    query = QueryDict(mutable=True)
    if filters.text:
        query["q"] = filters.text
    for facet, values in filters.chosen.items():
        query.setlist(facet, list(values))
    if filters.sort:
        query["sort"] = filters.sort
    return query.urlencode()


def _values(query: QueryDict, name: str) -> tuple[str, ...]:
    labels = FACETS[name].labels
    values = dict.fromkeys(value.replace("\0", "") for value in query.getlist(name)[:MAX_VALUES])
    return tuple(value for value in values if (value in labels if labels else value))
