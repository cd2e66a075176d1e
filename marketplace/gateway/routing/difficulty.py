"""How hard a prompt is, from 0 to 100, in microseconds and with its reasons; None where that cannot be told. Pure.

The number is a rank: so many percent of the prompts that it was trained on were easier. What nobody can tell is left to
the strong model: texts that are too short or too long, or that are not of letters that the signs were counted in.
"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from marketplace.gateway.routing import trees
from marketplace.gateway.routing.signs import MOST_CHARACTERS, NAMES, signs_of
from marketplace.gateway.routing.training import share_for
from marketplace.gateway.routing.trees import Forest

WEIGHTS = Path(__file__).parent / "weights" / "difficulty.json"
LEAST_CHARACTERS = 24
LEAST_LETTERS = 0.5
# So near the threshold the two models are as good as equal by what is known; then it is the strong one.
MARGIN = 2
DEFAULT_QUALITY = 95
MOST_TOLD = 2


@dataclass(frozen=True, slots=True)
class Judgment:
    """How hard a prompt is, and the signs that said so, the strongest first."""

    difficulty: int
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Trees with what their scores mean: ``ranks`` of a hundred equal parts, ``quality`` by the share of strong calls."""

    forest: Forest
    ranks: tuple[float, ...]
    quality: tuple[float, ...]

    def judge(self, text: str) -> Judgment | None:
        """Judge a prompt; None for one that it knows nothing about."""
        if not is_known_kind(text):
            return None
        signs = signs_of(text)
        difficulty = min(100, bisect_left(self.ranks, self.forest.score(signs)))
        return Judgment(difficulty, self._because(signs, is_hard=difficulty >= 50))

    def threshold(self, quality_percent: int) -> int:
        """Return the difficulty from which on the strong model is needed to keep so much of its quality."""
        return 100 - share_for(self.quality, quality_percent / 100)

    def _because(self, signs: Sequence[float], *, is_hard: bool) -> tuple[str, ...]:
        shares = self.forest.shares(signs)
        told = sorted(shares, key=lambda sign: (-shares[sign] if is_hard else shares[sign], sign))
        return tuple(NAMES[sign] for sign in told[:MOST_TOLD] if (shares[sign] > 0) == is_hard)


def is_known_kind(text: str) -> bool:
    """Tell whether a text is of the kind that the judge was trained on: long enough, short enough, of Latin letters."""
    if not LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
        return False
    letters = sum(map(str.isalpha, text))
    plain = sum(letter.isalpha() and letter.isascii() for letter in text)
    return letters > 0 and plain / len(text) >= LEAST_LETTERS


@cache
def judge() -> Judge:
    """Return the judge whose weights are in the repository."""
    return read(WEIGHTS)


def read(path: Path) -> Judge:
    """Read weights that the command ``train_router`` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Judge(trees.from_json(data["forest"]), tuple(data["ranks"]), tuple(data["quality"]))
