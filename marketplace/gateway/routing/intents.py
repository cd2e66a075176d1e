"""What a call is for: told by the caller, known of the app, or recognized in the prompt. Pure.

The words of a prompt are compared with examples of each intent (multinomial naive Bayes over words and pairs of words).
Where the best intent is not clearly better than the second, none is recognized.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import exp, log
from pathlib import Path

BUILT_IN = (
    "summary", "classification", "extraction", "translation", "question_answering", "rewriting", "code", "chat",
)  # fmt: skip
NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")
OF_TEMPLATE: Mapping[str, str] = {
    "summarizer": "summary",
    "classifier": "classification",
    "batch-labeler": "classification",
    "extractor": "extraction",
    "translator": "translation",
    "answerer": "question_answering",
    "rewriter": "rewriting",
    "drafter": "chat",
}
OF_CATEGORY: Mapping[str, str] = {"development": "code", "language": "translation"}
EXAMPLES = Path(__file__).parent / "weights" / "intents.json"
LEAST_SURE = 0.6
# What a prompt is for stands at its beginning or its end, not in the document between.
HEAD, TAIL = 400, 200
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Examples:
    """How often each word stood in the examples of each intent."""

    counts: Mapping[str, Mapping[str, int]]
    texts: Mapping[str, int]
    _sums: dict[str, int] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sums.update({name: sum(words.values()) for name, words in self.counts.items()})
        self._words.update(word for words in self.counts.values() for word in words)

    def recognize(self, text: str, *, least_sure: float = LEAST_SURE) -> str:
        """Return the intent of a text, or nothing when no intent is clearly the best."""
        words = [word for word in words_of(text) if word in self._words]
        if not words:
            return ""
        scores = {name: self._score(name, words) for name in self.counts}
        best = max(scores, key=lambda name: (scores[name], name))
        sure = 1 / sum(exp(score - scores[best]) for score in scores.values())
        return best if sure >= least_sure else ""

    def _score(self, name: str, words: Sequence[str]) -> float:
        counts, total = self.counts[name], self._sums[name] + SMOOTH * len(self._words)
        known = sum(log((counts.get(word, 0) + SMOOTH) / total) for word in words)
        return log(self.texts[name]) + known


SMOOTH = 0.2


def learn(examples: Iterable[tuple[str, str]]) -> Examples:
    """Count the words of examples, each a text with its intent."""
    counts: dict[str, Counter[str]] = {}
    texts: Counter[str] = Counter()
    for text, name in examples:
        counts.setdefault(name, Counter()).update(words_of(text))
        texts[name] += 1
    return Examples({name: dict(counts[name]) for name in sorted(counts)}, dict(texts))


def words_of(text: str) -> list[str]:
    """Return the words and the pairs of words of the beginning and the end of a text."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} {text[-TAIL:]}"
    words = _WORD.findall(text.lower())
    return [*words, *(f"{one} {other}" for one, other in itertools.pairwise(words))]


@cache
def built_in() -> Examples:
    """Return the built-in intents, learned from the examples in the repository."""
    told = json.loads(EXAMPLES.read_text(encoding="utf-8"))["examples"]
    return learn((text, name) for name, texts in told.items() for text in texts)


def of_app(template: str, category: str) -> str:
    """Return what an app is for by what it was started from, else by its category; nothing when that says nothing."""
    return OF_TEMPLATE.get(template) or OF_CATEGORY.get(category, "")
