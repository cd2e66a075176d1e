"""Classification: find the labels a prompt offers, and choose the one the text speaks for."""

import re
from collections.abc import Sequence
from hashlib import blake2b

from marketplace.gateway.demo_provider.reading import Prompt, content_words, enumerate_words

_ITEM = r"[\"'`]?\w[\w &/-]{0,30}?[\"'`]?"
_OFFER = (
    r"labels?|categor(?:y|ies)|class(?:es)?|one of|either|options?|as|into|among|between|is|are|topics?|"
    r"intents?|queues?"
)
_FILLING = r"are|is|the following|these|of|labels|categories|classes|exactly one of"
_LIST = re.compile(
    rf"(?:\b(?:{_OFFER})\b(?:\s+(?:{_FILLING}))*\s*:?|:)\s*"
    rf"({_ITEM}(?:\s*,\s*{_ITEM})*(?:\s*,)?\s*(?:\bor\b|\band\b|,|/|\|)\s*{_ITEM})(?=[\s.;:!?)\n]|$)",
    re.IGNORECASE,
)
_BULLETS = re.compile(r"^\s*[-*•]\s*([\w][\w &/-]{0,40}?)\s*(?::.*|\(.*)?$", re.MULTILINE)
_SEPARATOR = re.compile(r"\s*(?:,\s*(?:or|and)\s+|,|\||/|\s+or\s+|\s+and\s+)\s*", re.IGNORECASE)

_SENTIMENTS = ("positive", "negative", "neutral")
_TOPICS = ("question", "problem", "request", "praise")

_CUE_WORDS = """
    positive: good great excellent love loved happy thanks thank friendly fast perfect recommend nice best
        pleased wonderful helpful delicious enjoyed easy works amazing
    negative: bad poor terrible hate slow late broken rude disappointed worst never refund angry unhappy
        wrong problem crash crashes cold dirty awful useless waiting failed missing
    billing: invoice charge charged charges bill billed billing payment paid card refund price
        subscription credit twice fee
    technical: error crash crashes bug login password install update slow screen server connection app
        broken api
    bug: error crash crashes bug broken fails failed exception stack freezes wrong
    account: account login password email address profile access user sign locked
    shipping: delivery delivered package parcel shipping arrived courier tracking late order
    refund: refund money back return returned cancel charged
    urgent: urgent immediately asap down outage now emergency production blocked deadline today
    high: urgent immediately asap down outage now emergency production blocked deadline security
    low: whenever minor small cosmetic someday typo later nice
    spam: winner prize free click offer bitcoin lottery viagra congratulations claim
    complaint: disappointed angry terrible unacceptable complaint never again manager rude late
    praise: great excellent love thanks thank happy wonderful recommend amazing
    question: how what when where why which who can could wondering know
    feature: would could add wish feature support missing suggestion idea option
    request: please could would need want send change add give
    sales: price quote buy purchase demo plan license discount offer enterprise
    security: password breach phishing leak hacked vulnerability suspicious access
    legal: contract lawyer terms privacy gdpr clause liability court
    travel: flight hotel train trip airport booking taxi travel
    meals: restaurant lunch dinner coffee food breakfast catering bistro
    software: license subscription software cloud saas app
    hr: vacation leave salary payroll hiring candidate contract sick holiday onboarding
    it: laptop vpn printer password network monitor software wifi account
    sports: match team goal player season coach game won
    politics: election government minister parliament vote law party
    business: market company shares profit revenue investors bank growth
"""
_CUES = {
    label: frozenset(cues.split())
    for label, cues in re.findall(r"^    (\w+): ((?:.|\n {8})+)", _CUE_WORDS, re.MULTILINE)
}
_RESTING = ("neutral", "other", "general", "none", "unknown", "medium", "normal", "not spam", "ham")


def find_labels(instruction: str) -> list[str]:
    """Find the labels offered: in a list, in bullets, else those that the kind of question implies."""
    listed = [split_list(match.group(1)) for match in _LIST.finditer(instruction)]
    if listed:
        return max(listed, key=len)
    bullets = [match.group(1).strip() for match in _BULLETS.finditer(instruction)]
    if len(bullets) > 1:
        return bullets
    if "spam" in instruction.casefold():
        return ["spam", "not spam"]
    return list(
        _SENTIMENTS if re.search(r"sentiment|tone|mood|review", instruction, re.IGNORECASE) else _TOPICS
    )


def split_list(text: str) -> list[str]:
    """Cut a written list into its items, without quotes.

    >>> split_list("'billing', technical or other")
    ['billing', 'technical', 'other']
    """
    items = (item.strip(" \"'`.\n") for item in _SEPARATOR.split(text))
    return [item for item in items if item]


def choose_label(labels: Sequence[str], *, subject: str) -> tuple[str, list[str]]:
    """Choose the label with most words in the text that speak for it; give those words too."""
    found = {label: _evidence(label, subject=subject) for label in labels}
    best = max(labels, key=lambda label: len(found[label]))
    if found[best]:
        return best, found[best]
    resting = [label for label in labels if label.casefold() in _RESTING]
    if resting:
        return resting[0], []
    return labels[blake2b(subject.encode(), digest_size=1).digest()[0] % len(labels)], []


def classify(prompt: Prompt) -> str:
    """Answer with the label alone, or with its reason when the instruction asks for one."""
    label, evidence = choose_label(find_labels(prompt.instruction), subject=prompt.subject)
    if not re.search(r"\b(explain|reason|why|justif)", prompt.instruction, re.IGNORECASE):
        return label
    quoted = [f"“{word}”" for word in evidence[:3]]
    because = f"the text says {enumerate_words(quoted)}" if quoted else "nothing in the text points elsewhere"
    return f"{label}: {because}."


def _evidence(label: str, *, subject: str) -> list[str]:
    cues = set(content_words(label))
    for name, words in _CUES.items():
        if name in label.casefold().split() or name == label.casefold():
            cues.update(words)
    return list(dict.fromkeys(word for word in _plain_words(subject) if word in cues))


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())
