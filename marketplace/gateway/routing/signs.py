"""Signs of a prompt: what can be counted in a text, by name, so that a person can follow what a judgment goes by. Pure."""

import re
from math import log1p

LETTER_OF_OPTION = re.compile(r"^\(?[A-Ea-e][.)] ", re.M)
_WORD = re.compile(r"[a-z']+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_CAPS = re.compile(r"\b(NOT|EXCEPT|LEAST)\b")
_ROMAN = re.compile(r"\b(I|II|III|IV)\b")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_STOP = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "to",
        "in",
        "is",
        "are",
        "was",
        "were",
        "be",
        "and",
        "or",
        "that",
        "this",
        "it",
        "for",
        "on",
        "with",
        "as",
        "by",
        "at",
        "from",
        "which",
        "who",
        "what",
        "how",
        "why",
        "when",
        "if",
        "then",
        "not",
        "no",
        "than",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "his",
        "her",
        "their",
        "its",
        "they",
        "he",
        "she",
        "we",
        "you",
        "i",
        "me",
        "my",
    ]
)
_MARKS = frozenset("^_=+*/()[]{}<>|\\$")
# Signs that are a pattern's count in the lower-case text.
_COUNTED = {
    "first person": r"\b(?:i|me|my)\b",
    "negation": r"\b(?:not|except|never|false|incorrect|least)\b",
    "statements to judge": r"statement|scenario",
    "which of the following": r"which of the following",
    "a blank to fill": r"_{2,}",
    "best or most likely": r"\b(?:best|most likely|most|primarily)\b",
    "conditions": r"\b(?:if|suppose|assume|given|let)\b",
    "how many": r"how (?:many|much)",
    "calculate": r"\b(?:find|calculate|compute|determine|evaluate|solve)\b",
    "code": r"def |return |for \w+ in|==|\bint\b|print|array|algorithm",
    "all or none of": r"(?:all|none|both|neither) of (?:the|these)|all of|none of",
    "true or false": r"\b(?:true|false)\b",
    "logic signs": r"[∨∃∀⊃≡→∧¬•~]",
    "years": r"\b(?:1[5-9]|20)\d\d\b",
    "comparisons": r"\b(?:increase|decrease|higher|lower|greater|less|more|rise|fall)s?\b",
    "medicine": r"year-old|patient|treatment|disease|symptom",
    "right and wrong": r"\b(?:wrong|moral)",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _COUNTED.items()}
# What is counted in a text is bounded: a long document says no more after so much, and must not take longer.
MOST_CHARACTERS = 8000

NAMES = (
    "length of the question", "length", "length of options", "spread of options", "numbers as options", "short options",
    "digits", "mathematical signs", "capitals", "names", "length of words", "long words", "variety of words",
    "small words", "NOT in capitals", "question marks", "roman numbers", "quotes", "sentences", "lines", "percentages",
    "dollars", "semicolons", *_COUNTED,
)  # fmt: skip


def signs_of(text: str) -> list[float]:
    """Count every sign of a text, in the order of ``NAMES``."""
    text = text[:MOST_CHARACTERS]
    low = text.lower()
    words = _WORD.findall(low)
    size, count = max(1, len(text)), max(1, len(words))
    lines = text.split("\n")
    options = [line[2:].strip() for line in lines if LETTER_OF_OPTION.match(line)]
    question = LETTER_OF_OPTION.split(text, maxsplit=1)[0]
    lengths = [len(one) for one in options] or [0]
    numeric = sum(any(letter.isdigit() for letter in one) for one in options)
    by_hand = [
        log1p(len(question)),
        log1p(size),
        log1p(sum(lengths) / len(lengths)),
        (max(lengths) - min(lengths)) / (1 + max(lengths)),
        numeric / 4,
        sum(length <= 12 for length in lengths) / 4 if options else 0.0,
        sum(map(str.isdigit, text)) / size,
        sum(letter in _MARKS for letter in text) / size,
        sum(map(str.isupper, text)) / size,
        len(_NAME.findall(text)) / count,
        sum(map(len, words)) / count,
        sum(len(word) > 9 for word in words) / count,
        len(set(words)) / count,
        sum(word in _STOP for word in words) / count,
        float(len(_CAPS.findall(text))),
        float(text.count("?")),
        float(len(_ROMAN.findall(text))),
        float(text.count('"') + text.count("“")),
        float(len(_SENTENCE.findall(question))),
        float(len(lines)),
        float(text.count("%")),
        float(text.count("$")),
        float(text.count(";")),
    ]
    return by_hand + [float(len(pattern.findall(low))) for pattern in _PATTERNS.values()]
