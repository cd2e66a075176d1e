"""Read a prompt: what is to be done, and the text it is to be done to."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.gateway.demo_provider.faults import without_marker

_FENCES = (
    re.compile(r'"""\s*(.+?)\s*"""', re.DOTALL),
    re.compile(r"```\w*\s*(.+?)\s*```", re.DOTALL),
    re.compile(r"<(\w+)>\s*(.+?)\s*</\1>", re.DOTALL),
    re.compile(r"^---\s*\n(.+?)\n---\s*$", re.DOTALL | re.MULTILINE),
)
_INPUT_LABEL = re.compile(
    r"^[ \t]*(?:the )?(?:customer |support |product )?"
    r"(?:text|input|article|review|message|ticket|e-?mail|document|content|context|passage|sentence|comment|"
    r"feedback|transcript|notes?|request|source|invoice|contract|description|job)[ \t]*:[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION_LABEL = re.compile(r"^[ \t]*(?:question|q)[ \t]*:[ \t]*(.+)$", re.IGNORECASE | re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-Ý])|\n+")
_WORD = re.compile(r"[^\W\d_](?:[^\W_]|['’-](?=[^\W\d_]))*")

_STOP_WORDS = """
    a about above after again all also am an and any are as at be because been before being below between
    both but by can could did do does doing down during each few for from further had has have having he
    her here hers him his how i if in into is it its just like may me might more most must my no nor not
    now of off on once only or other our out over own per please same she should so some such than that
    the their them then there these they this those through to too under until up upon us very was we were
    what when where which while who whom why will with within without would you your yours yes let it's
    don't i'm there's
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

MAX_READ_CHARACTERS = 20_000
"""What comes later counts as tokens, but nobody looks at it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """``instruction`` says what to do, ``subject`` is the text, ``history`` what was said before."""

    instruction: str
    subject: str
    question: str = ""
    history: str = ""


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """Find instruction and subject: the last user message, under what the system says."""
    system = "\n".join(text_of(m) for m in messages if m.get("role") in ("system", "developer"))
    spoken = [text_of(m) for m in messages if m.get("role") in ("user", "assistant", "tool")]
    last = next((text_of(m) for m in reversed(messages) if m.get("role") == "user"), "")
    history = "\n".join(text for text in spoken if text != last)[:MAX_READ_CHARACTERS]
    instruction, subject = split_subject(last)
    if not instruction and system:
        instruction = system
    elif system:
        instruction = f"{system}\n{instruction}"
    question = _find_question(last)
    if not instruction:
        # a text on its own: only its opening can be an order, words like "answer" further on are not
        instruction = next(iter(sentences(last)), "")
    return Prompt(instruction=instruction, subject=subject, question=question, history=history)


def text_of(message: Mapping[str, Any]) -> str:
    """Give the text of a message, whichever way its content is written."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    return without_marker(content[:MAX_READ_CHARACTERS]).strip() if isinstance(content, str) else ""


def split_subject(text: str) -> tuple[str, str]:
    """Part a message into instruction and subject; the instruction may be empty."""
    for fence in _FENCES:
        match = fence.search(text)
        if match:
            return (text[: match.start()] + text[match.end() :]).strip(), match.group(match.lastindex or 1)
    label = _INPUT_LABEL.search(text)
    if label:
        return text[: label.start()].strip(), _until_question(text[label.end() :])
    head, colon, tail = text.partition(":")
    if (
        colon
        and len(head) <= 200
        and "\n" not in head
        and len(tail.split()) >= 3
        and not tail.startswith("//")
    ):
        return head.strip(), tail.strip()
    head, gap, tail = text.partition("\n\n")
    if gap and tail.strip():
        return head.strip(), tail.strip()
    return "", text


def sentences(text: str) -> list[str]:
    """Cut a text into sentences; a line is one at least."""
    cleaned = (part.strip(" \t-*•") for part in _SENTENCE_END.split(text))
    return [part for part in cleaned if part]


def words(text: str) -> list[str]:
    """Give the words of a text, as written."""
    return _WORD.findall(text)


def content_words(text: str) -> list[str]:
    """Give the words that carry meaning, in lower case."""
    return [word for word in (w.lower() for w in words(text)) if word not in STOP_WORDS and len(word) > 2]


def keywords(text: str, *, limit: int) -> list[str]:
    """Give the most frequent words that carry meaning; earlier ones first where frequencies are equal."""
    return [word for word, _ in Counter(content_words(text)).most_common(limit)]


def best_sentences(text: str, *, limit: int) -> list[str]:
    """Give the sentences that say most of what the text says, in their order."""
    found = sentences(text)
    frequency = Counter(content_words(text))

    def weight(position: int) -> float:
        inside = content_words(found[position])
        if not inside:
            return 0.0
        opening_bonus = 1.25 if position == 0 else 1.0
        return opening_bonus * sum(frequency[word] for word in set(inside)) / len(inside) ** 0.5

    chosen = sorted(range(len(found)), key=lambda position: (-weight(position), position))[:limit]
    return [found[position] for position in sorted(chosen)]


def enumerate_words(items: Sequence[str]) -> str:
    """Write a list as prose.

    >>> enumerate_words(["price", "date", "place"])
    'price, date and place'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _find_question(text: str) -> str:
    labelled = _QUESTION_LABEL.search(text)
    if labelled:
        return labelled.group(1).strip()
    asked = [sentence for sentence in sentences(text) if sentence.endswith("?")]
    return asked[-1] if asked else ""


def _until_question(text: str) -> str:
    label = _QUESTION_LABEL.search(text)
    return (text[: label.start()] if label else text).strip()
