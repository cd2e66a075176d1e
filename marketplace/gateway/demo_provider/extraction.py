"""Extraction: find the facts of a kind in a text."""

import re

import msgspec

from marketplace.gateway.demo_provider.reading import Prompt, keywords, sentences

_MONTHS = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_CURRENCIES = "USD|EUR|GBP|CHF"
_PATTERNS = {
    "emails": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "links": re.compile(r"https?://[^\s)>\"']+"),
    "dates": re.compile(
        r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|"
        rf"\b\d{{1,2}}(?:st|nd|rd|th)? {_MONTHS}(?: \d{{4}})?\b|\b{_MONTHS} \d{{1,2}}(?:, \d{{4}})?\b"
    ),
    "times": re.compile(r"\b\d{1,2}:\d\d(?: ?[ap]m)?\b|\b\d{1,2} ?[ap]m\b", re.IGNORECASE),
    "amounts": re.compile(
        rf"(?:[$€£]|\b(?:{_CURRENCIES}) ?)\d(?:[\d,.]*\d)?|"
        rf"\b\d[\d,.]*(?: ?€| ?(?:{_CURRENCIES}|dollars|euros)\b)"
    ),
    "phones": re.compile(r"(?<!\w)\+?\d[\d ()/-]{7,}\d\b"),
    "numbers": re.compile(r"\b[A-Z]{1,4}[-#]?\d{3,}\b|#\d+\b|\b\d+(?:\.\d+)?\b"),
    "names": re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-zà-ÿ]+(?: [A-Z][a-zà-ÿ]+)+\b", re.MULTILINE),
}
_WANTED = {
    "emails": "e-?mail",
    "links": r"links?|urls?",
    "dates": r"dates?|deadline|due",
    "times": r"\btimes?\b",
    "amounts": r"amounts?|prices?|totals?|money|costs?|sums?",
    "phones": "phone",
    "numbers": r"numbers?|\bids?\b|invoice no",
    "names": r"names?|people|persons?|compan|organi[sz]ation|entit|merchant|vendor",
    "actions": r"action|to-?dos?|tasks?|next steps",
    "keywords": r"keywords?|topics?|tags?|skills?",
}
_ACTION = re.compile(
    r"\b(?:will|must|should|shall|needs? to|has to|please|to do|by (?:monday|friday|tomorrow))\b", re.I
)


def extract(prompt: Prompt) -> str:
    """List what was asked for, one kind a line, or as JSON when the instruction says so."""
    kinds = [kind for kind, wanted in _WANTED.items() if re.search(wanted, prompt.instruction, re.IGNORECASE)]
    found = {kind: find_facts(kind, text=prompt.subject) for kind in kinds}
    if not found:
        every = {kind: find_facts(kind, text=prompt.subject) for kind in _PATTERNS if kind != "numbers"}
        found = {kind: facts for kind, facts in every.items() if facts} or {
            "keywords": find_facts("keywords", text=prompt.subject)
        }
    if "json" in prompt.instruction.casefold():
        return msgspec.json.encode(found).decode()
    return "\n".join(f"{kind}: {', '.join(facts) or 'none found'}" for kind, facts in found.items())


def find_facts(kind: str, *, text: str) -> list[str]:
    """Find all facts of a kind in a text, each once, in order."""
    if kind == "keywords":
        return keywords(text, limit=6)
    if kind == "actions":
        return [sentence for sentence in sentences(text) if _ACTION.search(sentence)]
    return list(dict.fromkeys(match.strip(" .,") for match in _PATTERNS[kind].findall(text)))
