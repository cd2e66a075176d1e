"""What an unknown name may stand for: likely cost centers, subscriptions and owners, each with the reason.

Pure: gets what there is to choose from, and never asks anybody.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MOST = 3
LONGEST = 80


@dataclass(frozen=True)
class Candidate:
    """Something a name may stand for. ``names`` are what people may call it, its own name first."""

    id: Any
    label: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Suggestion:
    """A candidate, and why it is likely."""

    id: Any
    label: str
    reason: str


def closest(value: str, candidates: Iterable[Candidate]) -> list[Suggestion]:
    """Suggest at most three candidates, the likeliest first: those whose names differ least from the value."""
    found: list[tuple[int, str, Suggestion]] = []
    for one in candidates:
        best = min((known for name in one.names if (known := _likeness(value, name))), default=None)
        if best is not None:
            found.append((best[0], one.label, Suggestion(one.id, one.label, best[1])))
    # Where one is the same but for its writing, the others are other things.
    most = SAME if any(rank <= SAME for rank, _, _ in found) else len(LIKENESSES)
    likely = sorted((row for row in found if row[0] <= most), key=lambda row: row[:2])
    return [suggestion for _, _, suggestion in likely[:MOST]]


def edit_distance(one: str, other: str, *, most: int) -> int:
    """Count the characters to add, drop or change to make one text the other; ``most`` + 1 when it is more than that."""
    one, other = one[:LONGEST], other[:LONGEST]
    if abs(len(one) - len(other)) > most:
        return most + 1
    before = list(range(len(other) + 1))
    for row, char in enumerate(one, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (char != wanted)))
        before = now
    return min(before[-1], most + 1)


def plain(text: str) -> str:
    """Write a text without case, spaces, dashes and the like."""
    return re.sub(r"[\W_]+", "", text).casefold()


def without_zeros(text: str) -> str:
    """Write a plain text without zeros before its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain(text))


def _number(text: str) -> str:
    digits = re.sub(r"\D", "", text).lstrip("0")
    return digits if len(digits) >= 2 else ""


def _contains(value: str, name: str) -> bool:
    long, short = sorted((plain(value), plain(name)), key=len, reverse=True)
    return len(short) >= 4 and short in long


def _is_close(value: str, name: str) -> bool:
    one, other = plain(value), plain(name)
    most = 1 if min(len(one), len(other)) < 6 else 2
    return bool(one and other) and edit_distance(one, other, most=most) <= most


SAME = 1
LIKENESSES: Sequence[tuple[str, Callable[[str, str], bool]]] = (
    ("It is {name} but for case, spaces or dashes", lambda value, name: plain(value) == plain(name) != ""),
    (
        "It is {name} but for leading zeros",
        lambda value, name: without_zeros(value) == without_zeros(name) != "",
    ),
    ("It differs from {name} by a typing error", _is_close),
    ("It has the number of {name}", lambda value, name: _number(value) == _number(name) != ""),
    ("One of it and {name} contains the other", _contains),
)


def _likeness(value: str, name: str) -> tuple[int, str] | None:
    """Say how alike two names are, the less the more, and in which way."""
    for rank, (words, is_alike) in enumerate(LIKENESSES):
        if is_alike(value, name):
            return rank, words.format(name=name)
    return None
