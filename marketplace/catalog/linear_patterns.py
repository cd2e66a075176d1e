"""Regular expressions of strangers, found in time that grows no faster than pattern times text. Pure.

Python's own engine tries one way after the other, and a pattern can be made so that there are more ways than anybody can
wait for. Here all ways are followed at once, one character after the other, so there is no going back; what cannot be
followed like that (references to groups, looking ahead and behind) is refused when the pattern is handed in.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_PATTERN, MAX_PARTS = 500, 600
# Sets of ways that are remembered for a pattern; what is met most is met early.
MAX_KEPT = 2_000
FLAGS_THAT_CHANGE_NOTHING = re.UNICODE
_parser: Any = importlib.import_module("re._parser")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": lambda one: one in "0123456789",
    "CATEGORY_NOT_DIGIT": lambda one: one not in "0123456789",
    "CATEGORY_WORD": lambda one: one in _WORD,
    "CATEGORY_NOT_WORD": lambda one: one not in _WORD,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda one: not one.isspace(),
}
_STARTS, _ENDS = ("AT_BEGINNING", "AT_BEGINNING_STRING"), ("AT_END", "AT_END_STRING")
Takes = Callable[[str], bool]
Ways = frozenset[int]


class Refused(ValueError):
    """A pattern that cannot be found in bounded time; the message says why."""


class TooLong(Exception):
    """The steps that were allowed are used up."""


@dataclass(frozen=True)
class Part:
    """One step of a pattern: a character that is taken, a place that is asked for, or where it goes on."""

    takes: Takes | None = None
    place: str = ""
    to: tuple[int, ...] = ()


@dataclass
class Pattern:
    """A pattern as parts, the last of which is reached when it is found; ``kept`` remembers where ways led."""

    parts: list[Part] = field(default_factory=list)
    kept: dict[tuple[Ways, str], Ways] = field(default_factory=dict)

    def found_in(self, text: str, *, budget: list[int]) -> bool:
        """Tell whether the pattern is somewhere in a text; takes its steps off the budget, and raises TooLong."""
        again = self._closure([0], is_start=False)
        ways = self._closure([0], is_start=True)
        for character in text:
            if self._last in ways:
                return True
            ways = self._after(ways, character, again, budget)
        return self._last in ways or self._last in self._closure(ways, is_start=not text, is_end=True)

    @property
    def _last(self) -> int:
        return len(self.parts) - 1

    def _after(self, ways: Ways, character: str, again: Ways, budget: list[int]) -> Ways:
        known = self.kept.get((ways, character))
        budget[0] -= 1 if known is not None else len(ways) + 1
        if budget[0] < 0:
            raise TooLong
        if known is not None:
            return known
        taken = [way + 1 for way in ways if (takes := self.parts[way].takes) is not None and takes(character)]
        # It may begin anywhere, so its beginning is among the ways after each character.
        after = self._closure(taken, is_start=False) | again
        if len(self.kept) < MAX_KEPT:
            self.kept[ways, character] = after
        return after

    def _closure(self, ways: "list[int] | Ways", *, is_start: bool, is_end: bool = False) -> Ways:
        """Follow everything that takes no character; what waits for the end stays among the ways."""
        found: set[int] = set()
        waiting = list(ways)
        while waiting:
            way = waiting.pop()
            if way in found:
                continue
            found.add(way)
            part = self.parts[way]
            waiting += part.to
            if (part.place == "start" and is_start) or (part.place == "end" and is_end):
                waiting.append(way + 1)
        return frozenset(found)


def why_not(pattern: str) -> str:
    """Say why a pattern cannot be held; empty when it can."""
    try:
        compiled(pattern)
    except Refused as error:
        return str(error)
    return ""


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """Make a pattern ready to be looked for. Raises Refused."""
    if len(pattern) > MAX_PATTERN:
        raise Refused(f"has a pattern of more than {MAX_PATTERN} characters")
    try:
        tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"has a pattern that is none: {error}") from error
    if tree.state.flags & ~FLAGS_THAT_CHANGE_NOTHING:
        raise Refused("has a pattern with flags, which are not held")
    made = Pattern()
    for written, _ in enumerate(_write(made, tree)):
        # Repeats of nothing add no parts, and would go on as long.
        if max(len(made.parts), written // 4) > MAX_PARTS:
            raise Refused(
                f"has a pattern that comes to more than {MAX_PARTS} parts once its repeats are written out"
            )
    made.parts.append(Part())
    return made


def _write(made: Pattern, tree: Any) -> Iterator[None]:
    """Add the parts of a tree; gives control back after each, so that the caller can stop at the bound."""
    for kind, value in tree:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            yield from _write_repeat(made, *value)
        elif name == "SUBPATTERN":
            _, added, removed, inner = value
            if added or removed:
                raise Refused("has a pattern with flags, which are not held")
            yield from _write(made, inner)
        elif name == "BRANCH":
            yield from _write_branch(made, value[1])
        elif name == "AT" and str(value) in _STARTS + _ENDS:
            made.parts.append(Part(place="start" if str(value) in _STARTS else "end"))
        else:
            made.parts.append(Part(takes=_takes(name, value)))
        yield


def _write_repeat(made: Pattern, least: int, most: Any, inner: Any) -> Iterator[None]:
    for _ in range(least):
        yield from _write(made, inner)
        yield
    if str(most) == "MAXREPEAT":
        start = _reserve(made)
        yield from _write(made, inner)
        made.parts.append(Part(to=(start,)))
        made.parts[start] = Part(to=(start + 1, len(made.parts)))
        return
    leaving = []
    for _ in range(most - least):
        leaving.append(_reserve(made))
        yield from _write(made, inner)
        yield
    for place in leaving:
        made.parts[place] = Part(to=(place + 1, len(made.parts)))


def _write_branch(made: Pattern, branches: Any) -> Iterator[None]:
    first, starts, ends = _reserve(made), [], []
    for one in branches:
        starts.append(len(made.parts))
        yield from _write(made, one)
        ends.append(_reserve(made))
    made.parts[first] = Part(to=tuple(starts))
    for place in ends:
        made.parts[place] = Part(to=(len(made.parts),))


def _reserve(made: Pattern) -> int:
    made.parts.append(Part())
    return len(made.parts) - 1


def _takes(name: str, value: Any) -> Takes:
    """Return what a single character has to be."""
    if name == "LITERAL":
        return chr(value).__eq__
    if name == "NOT_LITERAL":
        return chr(value).__ne__
    if name == "ANY":
        return lambda one: one not in "\n\r\u2028\u2029"
    if name == "CATEGORY":
        return _CATEGORIES[str(value)]
    if name == "RANGE":
        low, high = map(chr, value)
        return lambda one: low <= one <= high
    if name == "IN":
        return _one_of(value)
    raise Refused(f"has a pattern with {_SAID.get(name, name.lower())}, which cannot be held in bounded time")


def _one_of(members: Any) -> Takes:
    is_negated = str(members[0][0]) == "NEGATE"
    inner = [_takes(str(kind), value) for kind, value in members[is_negated:]]
    return lambda one: any(takes(one) for takes in inner) != is_negated


_SAID = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a reference to a group",
    "ASSERT": "a look ahead or behind",
    "ASSERT_NOT": "a look ahead or behind",
    "AT": "a boundary of words",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
