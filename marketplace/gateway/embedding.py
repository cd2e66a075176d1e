"""A small embedding model of our own: hashed words and letter groups, for where no model is configured.

It needs no download and no network, gives the same vector for the same text on every machine, and takes some tens of
microseconds for a sentence. Texts that share words, or parts of words, are near each other; it knows nothing of
meaning beyond that, so "cheap" and "inexpensive" are strangers to it.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import log, sqrt
from re import compile as pattern
from zlib import crc32

DIMENSIONS = 256
NAME = "local-hash-256"

_WORD = pattern(r"[^\W_]+")
_GROUP = 3
_WORD_WEIGHT, _PAIR_WEIGHT, _GROUP_WEIGHT = 1.0, 0.7, 0.35
_MOST_CHARACTERS = 20_000
"""What comes after is not looked at: a passage or a prompt of this length says what it is about before."""

Vector = list[float]


def embed(texts: Sequence[str]) -> list[Vector]:
    """Return a vector of ``DIMENSIONS`` numbers for each text, of length one; all zeros for a text without a word."""
    return [_vector(text) for text in texts]


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors of length one."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def _vector(text: str) -> Vector:
    values = [0.0] * DIMENSIONS
    for feature, (count, weight) in _counted(_words(text)).items():
        # The low bits choose the place, another bit the sign, so that features that share a place cancel out on
        # average instead of making strangers alike.
        mark = crc32(feature.encode())
        value = weight * (1 + log(count))
        values[mark % DIMENSIONS] += value if mark & 0x8000_0000 else -value
    return _of_length_one(values)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text[:_MOST_CHARACTERS]).casefold())


def _counted(words: Sequence[str]) -> dict[str, tuple[int, float]]:
    groups: Counter[str] = Counter()
    alone = Counter(words)
    for word, count in alone.items():
        for group in _letter_groups(word):
            groups[group] += count
    found = {f"w {word}": (count, _WORD_WEIGHT) for word, count in alone.items()}
    found |= {f"p {pair}": (count, _PAIR_WEIGHT) for pair, count in Counter(_pairs(words)).items()}
    return found | {f"g {group}": (count, _GROUP_WEIGHT) for group, count in groups.items()}


def _pairs(words: Sequence[str]) -> Iterable[str]:
    return (f"{first} {second}" for first, second in pairwise(words))


def _letter_groups(word: str) -> Iterator[str]:
    marked = f"<{word}>"
    for start in range(len(marked) - _GROUP + 1):
        yield marked[start : start + _GROUP]


def _of_length_one(values: Vector) -> Vector:
    length = sqrt(sum(value * value for value in values))
    return [value / length for value in values] if length else values
