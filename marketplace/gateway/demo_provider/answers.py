"""Answer a prompt: recognize the task and build the answer from the input text itself."""

import re
from collections.abc import Callable

from marketplace.gateway.demo_provider import restaurants
from marketplace.gateway.demo_provider.extraction import extract
from marketplace.gateway.demo_provider.labels import classify
from marketplace.gateway.demo_provider.reading import (
    Prompt,
    best_sentences,
    content_words,
    enumerate_words,
    keywords,
    sentences,
)
from marketplace.gateway.demo_provider.translations import GLOSSARIES, find_language, translate

_NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_COUNT = re.compile(
    r"\b(\d{1,2}|" + "|".join(_NUMBERS) + r")[ -](?:\w+[ -])?"
    r"(?:sentences?|bullets?|points?|lines?|items?|suggestions?|options?|restaurants?|places?|ideas?|tips?)\b",
    re.IGNORECASE,
)
_FORMAL = {
    "don't": "do not",
    "can't": "cannot",
    "won't": "will not",
    "isn't": "is not",
    "aren't": "are not",
    "doesn't": "does not",
    "didn't": "did not",
    "haven't": "have not",
    "i'm": "I am",
    "i've": "I have",
    "i'll": "I will",
    "it's": "it is",
    "we're": "we are",
    "we'll": "we will",
    "you're": "you are",
    "they're": "they are",
    "that's": "that is",
    "there's": "there is",
    "let's": "let us",
    "wanna": "want to",
    "gonna": "going to",
    "gotta": "have to",
    "asap": "as soon as possible",
    "fyi": "for your information",
    "thx": "thank you",
    "thanks": "thank you",
    "i": "I",
    "hey": "hello",
    "hi": "hello",
    "u": "you",
    "pls": "please",
    "plz": "please",
    "btw": "by the way",
    "stuff": "material",
    "guys": "everyone",
    "get": "receive",
    "buy": "purchase",
    "ok": "all right",
    "kinda": "somewhat",
    "a lot of": "many",
    "teh": "the",
    "recieve": "receive",
    "adress": "address",
}
_INFORMAL = re.compile(
    r"(?<![\w'])(" + "|".join(map(re.escape, sorted(_FORMAL, key=len, reverse=True))) + r")(?![\w'])",
    re.IGNORECASE,
)


def answer(prompt: Prompt) -> str:
    """Do what the prompt asks, as far as it is one of the tasks below."""
    for pattern, task in _TASKS:
        if pattern.search(prompt.instruction):
            return task(prompt)
    if prompt.question:
        return answer_question(prompt)
    return reflect(prompt)


def summarize(prompt: Prompt) -> str:
    """Give the most telling sentences, as prose or as points, in the number asked for."""
    available = len(sentences(prompt.subject))
    limit = requested_count(prompt.instruction, default=max(1, min(3, available // 3)))
    chosen = best_sentences(prompt.subject, limit=limit)
    if re.search(r"bullet|points|list", prompt.instruction, re.IGNORECASE):
        return "\n".join(f"- {sentence}" for sentence in chosen)
    return " ".join(_ended(sentence) for sentence in chosen)


def give_title(prompt: Prompt) -> str:
    """Give a headline of the words the text is about."""
    first = best_sentences(prompt.subject, limit=1)
    picked = first[0].split()[:8] if first else ["Untitled"]
    title = " ".join(picked).rstrip(" .,;:!?")
    return title[:1].upper() + title[1:]


def translate_text(prompt: Prompt) -> str:
    """Translate with the glossary; say so when there is none for that language."""
    language = find_language(prompt.instruction)
    if language:
        return translate(prompt.subject, language=language)
    known = enumerate_words([name.capitalize() for name in GLOSSARIES])
    return f"There is a glossary for {known} only. The text: {prompt.subject}"


def rewrite(prompt: Prompt) -> str:
    """Write the text anew: whole words, whole sentences, in the tone asked for."""
    formal = _INFORMAL.sub(lambda match: _like(match.group(), _FORMAL[match.group().lower()]), prompt.subject)
    tidy = [
        _ended(sentence[:1].upper() + sentence[1:]) for sentence in sentences(re.sub(r"[ \t]+", " ", formal))
    ]
    wanted = prompt.instruction.casefold()
    if "short" in wanted or "concise" in wanted:
        tidy = best_sentences(" ".join(tidy), limit=max(1, len(tidy) // 2))
    body = " ".join(tidy)
    if "friendly" in wanted or "warm" in wanted:
        return f"Hello, and thank you for your time. {body} Have a nice day!"
    if "polite" in wanted and "please" not in body.casefold():
        return f"Would you please consider the following? {body} Thank you."
    return body


def draft(prompt: Prompt) -> str:
    """Draft a message or a description around what the input says."""
    topics = enumerate_words(keywords(prompt.subject, limit=3)) or "your message"
    main = " ".join(best_sentences(prompt.subject, limit=1)).rstrip(".!?")
    if re.search(r"description|tagline|slogan|post|advert|copy", prompt.instruction, re.IGNORECASE):
        return f"{give_title(prompt)}. Made for everyone who cares about {topics}: {main}."
    return (
        f"Hello,\n\nthank you for writing about {topics}. We have read that “{main}”, and we take it "
        "seriously. A colleague looks into it today and comes back to you with the next step by tomorrow.\n\n"
        "Kind regards\nThe team"
    )


def suggest_restaurants(prompt: Prompt) -> str:
    """Suggest places in the city and of the cuisine that the prompt names."""
    text = f"{prompt.subject}\n{prompt.instruction}"
    return restaurants.describe(
        city=restaurants.find_city(text) or "your city",
        cuisine=restaurants.find_cuisine(text),
        limit=requested_count(text, default=3),
    )


def answer_question(prompt: Prompt) -> str:
    """Give the sentence of the text, or of what was said before, that shares most with the question."""
    question = prompt.question or prompt.subject
    asked = set(content_words(question))
    told = [s for s in sentences(f"{prompt.subject}\n{prompt.history}") if not s.endswith("?")]
    ranked = sorted(told, key=lambda sentence: -len(asked & set(content_words(sentence))))
    if ranked and asked & set(content_words(ranked[0])):
        return _ended(ranked[0])
    topics = enumerate_words(keywords(question, limit=3)) or "that"
    return f"Nothing in the text says anything about {topics}. Add the passage that does, and ask again."


def reflect(prompt: Prompt) -> str:
    """Say what a text without a task is about."""
    found = keywords(prompt.subject, limit=3)
    if len(found) < 2:
        return (
            "Hello. Send a text and say what to do with it: summarize, classify, translate, extract, "
            "rewrite, or answer a question about it."
        )
    main = " ".join(best_sentences(prompt.subject, limit=1))
    return f"This is about {enumerate_words(found)}. In short: {_ended(main)}"


def requested_count(instruction: str, *, default: int) -> int:
    """Find how many sentences, points or suggestions are wanted.

    >>> requested_count("Summarize in two short sentences", default=3)
    2
    """
    match = _COUNT.search(instruction)
    if match is None:
        return default
    written = match.group(1).lower()
    return max(1, _NUMBERS.get(written) or int(written))


def _ended(sentence: str) -> str:
    return sentence if sentence[-1:] in '.!?:”"' else f"{sentence}."


def _like(written: str, replacement: str) -> str:
    return replacement[:1].upper() + replacement[1:] if written[:1].isupper() else replacement


def _task(pattern: str, task: Callable[[Prompt], str]) -> tuple[re.Pattern[str], Callable[[Prompt], str]]:
    return re.compile(pattern, re.IGNORECASE), task


# in this order: "classify this restaurant review" is a classification, "summarize the question" a summary
_TASKS = (
    _task(
        r"\b(classif|categori[sz]|label|triage|sentiment|route (?:the|this)|which (?:category|queue))",
        classify,
    ),
    _task(r"\btranslat", translate_text),
    _task(r"\b(headline|title|subject line)\b", give_title),
    _task(r"\b(summar|tl;?dr|condense|key points|in brief|minutes of|digest)", summarize),
    _task(r"\b(rewrite|rephrase|paraphrase|proofread|polish|improve|correct|reword|formal)", rewrite),
    _task(
        r"\b(restaurants?|where (?:to|can \w+) eat|places? to eat|dinner|lunch|cuisine)\b",
        suggest_restaurants,
    ),
    _task(r"\b(extract|pull out|find all|identify|list (?:all|every|the))", extract),
    _task(r"\b(draft|write|compose|reply|respond)\b", draft),
    _task(r"\b(answer|question)\b", answer_question),
)
