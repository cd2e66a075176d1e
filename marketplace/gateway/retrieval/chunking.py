"""Cutting a document into passages: along its headings and sentences, each within a bound of tokens. Pure.

A passage never crosses a heading. It ends at the end of a sentence, a line of a list or a paragraph, and the next one
begins a little before that, so that what stands at a cut is whole in one of them. Only a sentence that is longer than
the bound by itself is cut inside.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from marketplace.gateway import tokens

RULES = 1
"""Raised when the same text would be cut otherwise: what was cut before is then cut anew."""
MOST_TOKENS = 220
OVERLAP_TOKENS = 40

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n\s*\n|\n(?=[ \t]*(?:[-*•|]|\d+[.)]))")
_SEPARATOR = " › "
_MOST_HEADING = 200


@dataclass(frozen=True)
class Chunk:
    """A passage: where it stands in its document, the headings above it, and its size."""

    starts_at: int
    ends_at: int
    heading: str
    text: str
    tokens: int


@dataclass(frozen=True)
class _Piece:
    """The least that stays together; ``ends_at`` includes the white space behind it."""

    starts_at: int
    ends_at: int
    tokens: int


def chunks(text: str, *, most: int = MOST_TOKENS, overlap: int = OVERLAP_TOKENS) -> list[Chunk]:
    """Cut a text into passages of at most ``most`` tokens, each with up to ``overlap`` of the one before it.

    Together they have every word of the text.
    """
    if not 0 <= overlap < most:
        raise ValueError("overlap is smaller than most")
    return [
        chunk
        for heading, starts_at, ends_at in _sections(text)
        for chunk in _of_section(text, heading, starts_at, ends_at, most=most, overlap=overlap)
    ]


def _sections(text: str) -> Iterator[tuple[str, int, int]]:
    """Give each heading's path with the stretch of text under it, its own line included.

    A heading that is followed by the next one at once belongs to what stands under that.
    """
    path: list[tuple[int, str]] = []
    begins = words_at = 0
    for match in _HEADING.finditer(text):
        if text[words_at : match.start()].strip():
            yield _joined(path), begins, match.start()
            begins = match.start()
        level = len(match[1])
        path = [(above, title) for above, title in path if above < level] + [(level, match[2])]
        words_at = match.end()
    yield _joined(path), begins, len(text)


def _joined(path: list[tuple[int, str]]) -> str:
    return _SEPARATOR.join(title for _, title in path)[:_MOST_HEADING]


def _of_section(
    text: str, heading: str, starts_at: int, ends_at: int, *, most: int, overlap: int
) -> Iterator[Chunk]:
    pending: list[_Piece] = []
    size = 0
    for piece in _pieces(text, starts_at, ends_at, most=most):
        if pending and size + piece.tokens > most:
            yield _chunk(text, heading, pending)
            pending = _tail(pending, most=min(overlap, most - piece.tokens))
            size = sum(one.tokens for one in pending)
        pending.append(piece)
        size += piece.tokens
    if pending:
        yield _chunk(text, heading, pending)


def _tail(pieces: list[_Piece], *, most: int) -> list[_Piece]:
    """Return the last pieces that fit into ``most`` tokens; never all of them."""
    kept: list[_Piece] = []
    size = 0
    for piece in reversed(pieces[1:]):
        if size + piece.tokens > most:
            break
        kept.insert(0, piece)
        size += piece.tokens
    return kept


def _chunk(text: str, heading: str, pieces: list[_Piece]) -> Chunk:
    starts_at, ends_at = pieces[0].starts_at, pieces[-1].ends_at
    said = text[starts_at:ends_at].strip()
    return Chunk(starts_at, ends_at, heading, said, tokens.count(said))


def _pieces(text: str, starts_at: int, ends_at: int, *, most: int) -> Iterator[_Piece]:
    """Cut a stretch at the ends of sentences; a sentence beyond the bound is cut at its tokens."""
    begins = starts_at
    cuts = [match.end() for match in _END.finditer(text, starts_at, ends_at)]
    for cut in [*cuts, ends_at]:
        if text[begins:cut].strip():
            yield from _bounded(text, begins, cut, most=most)
            begins = cut


def _bounded(text: str, starts_at: int, ends_at: int, *, most: int) -> Iterator[_Piece]:
    found = tokens.split(text[starts_at:ends_at])
    for first in range(0, len(found), most):
        some = found[first : first + most]
        length = sum(map(len, some))
        if "".join(some).strip():
            yield _Piece(starts_at, starts_at + length, len(some))
        starts_at += length
