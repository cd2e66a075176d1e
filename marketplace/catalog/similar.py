"""Apps like another one, and in what they are like it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.postgres.search import SearchRank
from django.db.models import Case, F, Value, When

from marketplace.accounts.access import Actor
from marketplace.catalog import searching
from marketplace.catalog.models import Listing

MOST_SIMILAR, MOST_WORDS, MOST_TOLD = 4, 12, 3
# Words of fewer letters hold sentences together and say nothing of what an app does.
SHORTEST_WORD = 5


@dataclass(frozen=True)
class Similar:
    """A listing like another one: the words both have, and whether they are of one category."""

    listing: Listing
    words: Sequence[str]
    is_same_category: bool


def similar_to(listing: Listing, *, actor: Actor | None) -> list[Similar]:
    """Find listings that share words with one, of its own category first (three queries)."""
    app = listing.app
    words = telling_words(f"{app.name} {app.summary}")[:MOST_WORDS]
    if not words:
        return []
    query = searching.query_of(" | ".join(words))
    entries = (
        searching.visible_entries(actor)
        .filter(search=query)
        .exclude(pk=listing.pk)
        .annotate(
            likeness=SearchRank(F("search"), query)
            * Case(When(category=app.category, then=Value(2)), default=Value(1))
        )
        .order_by("-likeness", "name", "pk")
    )
    found = searching.FoundListings(entries, total=MOST_SIMILAR)
    return [
        Similar(
            one,
            shared_words(
                f"{app.name} {app.summary}", f"{one.app.name} {one.app.summary} {one.app.description}"
            ),
            one.app.category == app.category,
        )
        for one in found[0:MOST_SIMILAR]
    ]


def telling_words(text: str) -> list[str]:
    """Return the longer words of a text, each once, in their order."""
    return list(dict.fromkeys(w for w in re.findall(r"[^\W\d_]+", text.lower()) if len(w) >= SHORTEST_WORD))


def shared_words(mine: str, theirs: str) -> list[str]:
    """Return the words of one text that another has too, in any ending: "summarize" and "summarizer" count as one."""
    beginnings = {word[:SHORTEST_WORD] for word in telling_words(theirs)}
    return [word for word in telling_words(mine) if word[:SHORTEST_WORD] in beginnings][:MOST_TOLD]
