"""How good a cheap model's answers are to questions of each difficulty: what routing gives up. Pure.

A trace tells nothing of its answers. So each of its calls is given a question of a labeled set, by the seed: how difficult
the router finds it, whether the weak model answered it rightly, and whether the strong one did. That is an assumption, and
reports say so.
"""

import csv
import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from marketplace.core.errors import InvalidInput

PERMILLE = 1000
COLUMNS = ("prompt", "weak_correct", "strong_correct")
Score = Callable[[str], int]
Question = tuple[int, bool, bool]


class BadVerdicts(InvalidInput):
    """A file that holds no verdicts."""

    code = "bad_verdicts"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__("verdicts", f"{path.name}: {why}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Questions that the router finds about equally difficult, by who answered them rightly."""

    both: int
    only_weak: int
    only_strong: int
    neither: int

    @property
    def size(self) -> int:
        return self.both + self.only_weak + self.only_strong + self.neither

    @property
    def weak_right(self) -> int:
        return self.both + self.only_weak

    @property
    def strong_right(self) -> int:
        return self.both + self.only_strong

    def verdict(self, place: int) -> tuple[bool, bool]:
        """Return whether weak and strong answered the question at a place rightly."""
        if place < self.both:
            return True, True
        if place < self.both + self.only_weak:
            return True, False
        return False, place < self.size - self.neither


@dataclass(frozen=True)
class Verdicts:
    """A labeled set in buckets, the easiest first."""

    source: str
    buckets: tuple[Bucket, ...]

    @property
    def size(self) -> int:
        return sum(bucket.size for bucket in self.buckets)

    @property
    def strong_right(self) -> int:
        return sum(bucket.strong_right for bucket in self.buckets)

    @property
    def weak_right(self) -> int:
        return sum(bucket.weak_right for bucket in self.buckets)

    def easy(self, *, kept_permille: int) -> int:
        """Return how many buckets may go to the weak model while so much of the strong one's right answers is kept."""
        easy, right = 0, self.strong_right
        for number, bucket in enumerate(self.buckets, start=1):
            right += bucket.weak_right - bucket.strong_right
            if right * PERMILLE >= kept_permille * self.strong_right:
                easy = number
        return easy

    def draw(self, random: Random) -> Question:
        """Draw a question: its bucket, and the verdicts of weak and strong."""
        place = random.randrange(self.size)
        for number, bucket in enumerate(self.buckets):
            if place < bucket.size:
                return number, *bucket.verdict(place)
            place -= bucket.size
        raise AssertionError


def by_length(prompt: str) -> int:
    """Score a question by its length: the plainest router, and already a decent one."""
    return len(prompt)


def in_buckets(questions: Iterable[tuple[int, bool, bool]], *, count: int) -> tuple[Bucket, ...]:
    """Sort scored questions into buckets of about equal size; equal scores are not told apart by anything else."""
    ordered = sorted(questions)
    bounds = [len(ordered) * number // count for number in range(count + 1)]
    return tuple(_bucket(ordered[start:end]) for start, end in pairwise(bounds) if end > start)


def _bucket(questions: Sequence[Question]) -> Bucket:
    pairs = [(weak, strong) for _, weak, strong in questions]
    return Bucket(
        *(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False)))
    )


def read(path: Path, *, score: Score = by_length, buckets: int = 100) -> Verdicts:
    """Read verdicts from a CSV with the columns of ``COLUMNS``, plain or gzipped. Raises BadVerdicts, OSError."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise BadVerdicts(path, f"the column {missing[0]} is missing")
        questions = [
            (score(row["prompt"]), _is(row["weak_correct"]), _is(row["strong_correct"])) for row in rows
        ]
    if not any(strong for _, _, strong in questions):
        raise BadVerdicts(path, "the strong model is never right")
    return Verdicts(path.name, in_buckets(questions, count=buckets))


def _is(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes")
