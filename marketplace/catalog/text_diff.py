"""What changed in a text, word by word; long texts line by line. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

SAME, REMOVED, ADDED, LEFT_OUT = "same", "removed", "added", "left_out"
# Comparing words takes the square of their number; beyond this, lines are compared.
MOST_WORDS = 1_500
# So many words, or lines, of what stayed the same are shown around a change.
CONTEXT = 12
# Texts that have less in common are another text: a word here and there that stayed would only be in the way.
LEAST_ALIKE = 0.4
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Part:
    """A stretch of text that stayed, went, or came; of what is left out, how much."""

    kind: str
    text: str


def diff(old: str, new: str) -> list[Part]:
    """Compare two texts; what stayed the same far from any change is left out.

    >>> [(part.kind, part.text) for part in diff("be polite", "be very polite")]
    [('same', 'be '), ('added', 'very '), ('same', 'polite')]
    """
    before, after = _split(old), _split(new)
    is_lines = len(before) > MOST_WORDS or len(after) > MOST_WORDS
    if is_lines:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if old and new and matcher.ratio() < LEAST_ALIKE:
        return [Part(REMOVED, old), Part(ADDED, new)]
    parts: list[Part] = []
    blocks = matcher.get_opcodes()
    for number, (what, i, j, k, end) in enumerate(blocks):
        if what == "equal":
            is_first, is_last = number == 0, number == len(blocks) - 1
            parts += _shortened(before[i:j], is_first=is_first, is_last=is_last)
            continue
        if i < j:
            parts.append(Part(REMOVED, "".join(before[i:j])))
        if k < end:
            parts.append(Part(ADDED, "".join(after[k:end])))
    return parts


def _split(text: str) -> list[str]:
    return _WORDS.findall(text)


def _shortened(tokens: Sequence[str], *, is_first: bool, is_last: bool) -> list[Part]:
    """Keep what is near a change: the end of a first stretch, the beginning of a last one, both of one between."""
    head = 0 if is_first else CONTEXT
    tail = 0 if is_last else CONTEXT
    if (is_first and is_last) or len(tokens) <= head + tail + CONTEXT:
        return [Part(SAME, "".join(tokens))]
    kept = [Part(SAME, "".join(tokens[:head]))] if head else []
    kept.append(Part(LEFT_OUT, "".join(tokens[head : len(tokens) - tail])))
    return [*kept, *([Part(SAME, "".join(tokens[len(tokens) - tail :]))] if tail else [])]
