"""Training the judge of difficulty from verdicts on a weak and a strong model; and how well it then routes. Pure.

A verdict says of a prompt whether each of the two answered it rightly. What is learned is by how much the strong model's
chance is better. Kept with it is how good calls come out at each share of strong ones, measured on subjects that the
trees in question had not seen.
"""

import csv
import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TextIO

from marketplace.gateway.routing.signs import signs_of
from marketplace.gateway.routing.trees import Forest, train

TREES = 120
FOLDS = 5
STEPS = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """A prompt of a subject, and whether the weak and the strong model answered it rightly."""

    subject: str
    prompt: str
    is_weak_right: bool
    is_strong_right: bool

    @property
    def gain(self) -> int:
        return int(self.is_strong_right) - int(self.is_weak_right)


def read_verdicts(path: Path) -> list[Verdict]:
    """Read a CSV, plain or gzipped, with the columns subject, prompt, weak_correct and strong_correct."""
    with _opened(path) as lines:
        return [
            Verdict(row["subject"], row["prompt"], _flag(row["weak_correct"]), _flag(row["strong_correct"]))
            for row in csv.DictReader(lines)
        ]


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def _flag(text: str) -> bool:
    return text.strip().lower() in ("1", "1.0", "true")


def train_difficulty(rows: Sequence[Sequence[float]], verdicts: Sequence[Verdict]) -> Forest:
    """Learn the gain of the strong model from signs; ``rows`` are the signs of the verdicts' prompts."""
    return train(rows, [float(verdict.gain) for verdict in verdicts], trees=TREES)


def scores_on_unseen(
    rows: Sequence[Sequence[float]], verdicts: Sequence[Verdict], folds: Sequence[int]
) -> list[float]:
    """Score every verdict by trees that were trained on the other folds."""
    scores = [0.0] * len(rows)
    for fold in sorted(set(folds)):
        kept = [at for at, one in enumerate(folds) if one != fold]
        forest = train_difficulty([rows[at] for at in kept], [verdicts[at] for at in kept])
        for at, one in enumerate(folds):
            if one == fold:
                scores[at] = forest.score(rows[at])
    return scores


def folds_by_subject(verdicts: Sequence[Verdict], *, seed: int = 0) -> list[int]:
    """Put whole subjects into folds."""
    subjects = sorted({verdict.subject for verdict in verdicts})
    Random(seed).shuffle(subjects)
    fold = {subject: at % FOLDS for at, subject in enumerate(subjects)}
    return [fold[verdict.subject] for verdict in verdicts]


def folds_at_random(verdicts: Sequence[Verdict], *, seed: int = 0) -> list[int]:
    """Put verdicts into folds, whatever their subject."""
    random = Random(seed)
    return [random.randrange(FOLDS) for _ in verdicts]


def curve(scores: Sequence[float], verdicts: Sequence[Verdict]) -> list[float]:
    """Return the share of right answers when 0, 1, ... 100 percent of the prompts, hardest first, go to the strong model."""
    ranked = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    right = [sum(verdict.is_weak_right for verdict in verdicts)]
    for at in ranked:
        right.append(right[-1] + verdicts[at].gain)
    return [right[len(ranked) * step // STEPS] / len(ranked) for step in range(STEPS + 1)]


def apgr(quality: Sequence[float]) -> float:
    """Return the average part of the gap between weak and strong that is recovered, over every share of strong calls.

    As RouteLLM defines it: the area between the curve and the weak model's quality, over the whole gap; 0.5 is chance.
    """
    weak, strong = quality[0], quality[-1]
    area = sum((left + right) / 2 - weak for left, right in _pairs(quality)) / (len(quality) - 1)
    return area / (strong - weak)


def share_for(quality: Sequence[float], wanted: float) -> int:
    """Return the least percentage of strong calls from which on the quality stays at ``wanted`` times the strong one's."""
    enough = 100
    for step in range(len(quality) - 1, -1, -1):
        if quality[step] < wanted * quality[-1]:
            break
        enough = step
    return enough


def _pairs(values: Sequence[float]) -> Iterable[tuple[float, float]]:
    return itertools.pairwise(values)


def signs_of_all(
    verdicts: Sequence[Verdict], *, each: Callable[[], None] = lambda: None
) -> list[list[float]]:
    """Count the signs of every prompt."""
    return list(_counted(verdicts, each))


def _counted(verdicts: Sequence[Verdict], each: Callable[[], None]) -> Iterator[list[float]]:
    for verdict in verdicts:
        each()
        yield signs_of(verdict.prompt)
