"""From what somebody typed to a query of full text, and what a mistyped word may have meant."""

import re
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection

MAX_WORDS, MAX_WORD_LENGTH = 12, 40
MAX_MEANT = 4
# Words that share most trigrams with what was typed; the few of them that are near enough are meant.
CANDIDATES = 20
SHORT_WORD = 5


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are searched for."""
    return [word[:MAX_WORD_LENGTH].lower() for word in re.findall(r"\w+", text)[:MAX_WORDS]]


def query_of(words: Sequence[str], meant: Mapping[str, Sequence[str]] | None = None) -> str:
    """Write the tsquery that every word is there, or its beginning, or what it may have meant."""
    parts = [" | ".join(f"{one}:*" for one in (word, *(meant or {}).get(word, ()))) for word in words]
    return " & ".join(f"({part})" for part in parts)


def find_meant(words: Sequence[str]) -> dict[str, list[str]]:
    """Find words of the catalogue that mistyped ones are near to (one query, by an index of trigrams)."""
    typed = sorted({word for word in words if len(word) > 2})
    if not typed:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.typed, w.word FROM unnest(%s::text[]) AS t (typed) CROSS JOIN LATERAL "
            "(SELECT word FROM catalog_searchword ORDER BY word <-> t.typed LIMIT %s) w",
            [typed, CANDIDATES],
        )
        rows = cursor.fetchall()
    return {word: nearest(word, [found for of, found in rows if of == word]) for word in typed}


def nearest(typed: str, candidates: Iterable[str]) -> list[str]:
    """Keep the candidates that differ by one typing error, two in longer words; nearest first.

    The beginning of a candidate counts as well, for words are searched while they are typed: "sumari" is near
    "summarizer".
    """
    most = 1 if len(typed) <= SHORT_WORD else 2
    measured = [(_distance_of_beginning(typed, one), one) for one in candidates]
    return [one for distance, one in sorted(measured) if distance <= most][:MAX_MEANT]


def distance(first: str, second: str) -> int:
    """Count the typing errors between two words: a letter more, less or other, or two neighbors swapped.

    >>> distance("tikcet", "ticket")
    1
    """
    before: list[int] = []
    last = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        now = [i]
        for j, b in enumerate(second, 1):
            cost = min(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        before, last = last, now
    return last[-1]


def _distance_of_beginning(typed: str, candidate: str) -> int:
    whole = distance(typed, candidate)
    # Of short words nearly every beginning is near to something.
    return min(whole, distance(typed, candidate[: len(typed)])) if len(typed) > SHORT_WORD else whole
