"""Text hygiene: characters that hide something, names that look like another app's, markup that does something."""

import re
import unicodedata
from collections.abc import Iterator
from importlib.metadata import version

import nh3

from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.look_alikes import scripts_of, skeleton
from marketplace.catalog.scans.subject import DOCUMENT, Subject

MAX_TOTAL_CHARS = 200_000
BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
ZERO_WIDTH = frozenset("\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\u180e\u115f\u1160\u3164")
# They join letters in Persian and Indic scripts and emoji; between letters such as ours they only hide.
JOINERS = frozenset("\u200c\u200d")
TAGS = range(0xE0000, 0xE0080)
NAME_PLACES = ("name", "summary")

ACTIVE_TAGS = frozenset(
    {
        "script",
        "iframe",
        "object",
        "embed",
        "svg",
        "math",
        "style",
        "form",
        "link",
        "meta",
        "base",
        "template",
    }
)
_TAG = re.compile(r"<\s*([a-z][a-z0-9]*)\b", re.IGNORECASE)
_HANDLER = re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE)
_ACTIVE_LINK = re.compile(r"\]\(\s*(?:javascript|data|vbscript|file)\s*:", re.IGNORECASE)
_REMOTE_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*(?:https?:)?//", re.IGNORECASE)


def scan(subject: Subject) -> Report:
    """Look at every text, and at the name beside the names in the catalogue."""
    found = [one for place, text in subject.texts.items() for one in _in_text(place, text)]
    found += _in_name(subject)
    # Documents have bounds of their own.
    total = sum(len(text) for place, text in subject.texts.items() if not place.startswith(DOCUMENT))
    if total > MAX_TOTAL_CHARS:
        message = (
            f"All texts together have {total:,} characters; at most {MAX_TOTAL_CHARS:,} are read by anybody."
        )
        found.append(Found("hygiene.size", "high", "all texts", message))
    return Report(sorted_findings(found), f"own rules, nh3 {version('nh3')}")


def _in_text(place: str, text: str) -> Iterator[Found]:
    for rule, severity, what, characters in _hidden(text):
        codes = ", ".join(sorted({f"U+{ord(one):04X}" for one in characters}))
        message = f"{len(characters)} {what} ({codes})."
        yield Found(rule, severity, place, message, codes, _line_of(text, characters[0]))
    yield from _markup(place, text)


def _hidden(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    kinds = {
        "hygiene.bidi": ("high", "characters that turn the direction of reading"),
        "hygiene.tags": ("high", "invisible tag characters, which a model reads and a person does not"),
        "hygiene.zero-width": ("medium", "characters of no width"),
        "hygiene.control": ("medium", "control characters"),
        "hygiene.encoding": ("low", "characters that were damaged or stand for nothing"),
    }
    found: dict[str, list[str]] = {rule: [] for rule in kinds}
    for index, letter in enumerate(text):
        if letter.isascii() and letter.isprintable():
            continue
        rule = _kind(text, index)
        if rule:
            found[rule].append(letter)
    for rule, letters in found.items():
        if letters:
            yield rule, *kinds[rule], letters


def _kind(text: str, index: int) -> str:
    letter = text[index]
    category = unicodedata.category(letter)
    if letter in BIDI:
        return "hygiene.bidi"
    if ord(letter) in TAGS:
        return "hygiene.tags"
    if letter in ZERO_WIDTH or (letter in JOINERS and not _joins(text, index)):
        return "hygiene.zero-width"
    if category == "Cc" and letter not in "\n\r\t":
        return "hygiene.control"
    if category in ("Cs", "Co") or letter == "\ufffd":
        return "hygiene.encoding"
    return ""


def _joins(text: str, index: int) -> bool:
    """Tell whether a joiner stands where scripts need it: after a letter or sign beyond Latin."""
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    return bool(before and after) and ord(before) > 0x24F and ord(after) > 0x24F


def _markup(place: str, text: str) -> Iterator[Found]:
    tags = {one.lower() for one in _TAG.findall(text)} if nh3.is_html(text) else set()
    kept = {one.lower() for one in _TAG.findall(nh3.clean(text))} if tags else set()
    active = sorted(tags & ACTIVE_TAGS)
    if active or _HANDLER.search(text):
        what = ", ".join(f"<{one}>" for one in active) or "an attribute that runs a script"
        yield Found("markdown.active", "high", place, f"Markup that does something: {what}.", what)
    elif removed := sorted(tags - kept - ACTIVE_TAGS):
        names = ", ".join(f"<{one}>" for one in removed)
        yield Found("markdown.html", "low", place, f"HTML that is not shown: {names}.", names)
    if match := _ACTIVE_LINK.search(text):
        yield Found("markdown.link", "high", place, f"A link that runs something: {match[0]}", match[0])
    if match := _REMOTE_IMAGE.search(text):
        message = "An image from elsewhere: loading it tells its server who reads."
        yield Found("markdown.image", "medium", place, message, match[0])


def _in_name(subject: Subject) -> Iterator[Found]:
    for place in NAME_PLACES:
        for word in re.findall(r"\w+", subject.texts.get(place, "")):
            scripts = scripts_of(word)
            if len(scripts) > 1:
                message = f"“{word}” mixes letters of {' and '.join(sorted(scripts))}."
                yield Found("hygiene.mixed-scripts", "medium", place, message, word)
    looks, plain = skeleton(subject.name), subject.name.casefold().strip()
    for other in subject.listed_names:
        if other.casefold().strip() == plain:
            message = f"The catalogue has an app called “{other}” already."
            yield Found("hygiene.same-name", "low", "name", message, other)
        elif looks and skeleton(other) == looks:
            message = f"The name looks like “{other}”, an app of the catalogue, and is written otherwise."
            yield Found("hygiene.look-alike-name", "high", "name", message, other)


def _line_of(text: str, part: str) -> int | None:
    return text.count("\n", 0, text.index(part)) + 1 if "\n" in text else None
